"""The self-contained report of a run: charts, gallery, metrics.

May import the packages of layers 0 to 6.
"""

__all__ = ["build", "charts", "gallery", "page", "summary"]
