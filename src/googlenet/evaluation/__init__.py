"""How good a model is: metrics, multi-crop protocols, robustness to corruptions.

May import the packages of layers 0 to 5.
"""

__all__ = ["crop_selection", "ensemble", "metrics", "multi_crop", "photo_scores", "robustness", "scoring"]
