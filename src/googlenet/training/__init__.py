"""From data, weights and settings to a run: recipe, plan, loader, loop, optimizer, resume, several processes.

May import the packages of layers 0 to 7.
"""

__all__ = [
    "augment",
    "decision",
    "diagnostics",
    "distributed",
    "hardware",
    "loader",
    "loggers",
    "loop",
    "lr_range_test",
    "mixup",
    "optim",
    "prepare",
    "reproducibility",
    "session",
    "stages",
    "state",
    "train",
    "transfer",
]
