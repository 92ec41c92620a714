"""Many images through any predictor: engines, torch, and opening MODEL as a user names it.

May import the packages of layers 0 to 4.
"""

__all__ = ["engines", "journal", "loading", "output", "paths", "predict", "sources", "torch_classifier"]
