"""How sure a model may be: temperature and calibration error; inside or outside the training distribution.
Numpy alone.

May import `base`.
"""

__all__ = ["ood", "temperature"]
