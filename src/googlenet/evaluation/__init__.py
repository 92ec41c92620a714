"""How good a model is: metrics, multi-crop protocols, robustness to corruptions.

May import the packages of layers 0 to 5.
"""

__all__ = [
    "crop_selection",
    "ensemble",
    "kept_scores",
    "label_errors",
    "metrics",
    "multi_crop",
    "photo_scores",
    "robustness",
    "scoring",
]
