"""Cross-validation: every photo is measured by a model that has not seen it; wrong labels are found so.

May import the packages of layers 0 to 9.
"""

__all__ = ["assignment", "corrections", "folder", "outcome", "relabel", "runs"]
