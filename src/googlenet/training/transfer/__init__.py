"""Going on from what a network knows: its weights, a classifier on its features, then its upper modules.

May import the rest of `training` but for its loop and sessions.
"""

__all__ = ["features", "first_stage", "linear", "pretrained"]
