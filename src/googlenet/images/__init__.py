"""Bytes of a file to upright RGB pixels: one decoder, one resize, crops, heat maps, corruptions.

May import the packages of layers 0 to 2.
"""

__all__ = [
    "boxes",
    "color",
    "corruptions",
    "crops",
    "decode",
    "formats",
    "heatmaps",
    "heif",
    "leftovers",
    "limits",
    "png",
]
