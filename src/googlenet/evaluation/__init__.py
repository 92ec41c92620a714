"""How good a model is: metrics, multi-crop protocols, robustness to corruptions.

May import the packages of layers 0 to 5.
"""

__all__ = ["metrics", "multi_crop", "robustness"]
