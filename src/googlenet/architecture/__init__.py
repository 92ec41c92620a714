"""Table 1 of the paper as data, the dialects in which it was built, and the arithmetic of cost.

May import `base`, `calibration`.
"""

__all__ = ["cost", "dialects", "table1"]
