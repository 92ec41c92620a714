"""What the network sees: class maps, attribution, feature visualization, DeepDream, top activations.

May import the packages of layers 0 to 5.
"""

__all__ = [
    "attribution",
    "class_maps",
    "deepdream",
    "fourier_image",
    "methods",
    "objectives",
    "redirected_relu",
    "top_activations",
    "unit_selection",
    "visualization",
]
