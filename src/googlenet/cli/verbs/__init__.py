"""The verbs, a module each, with one function of the verb's name; `cli.common` loads them by name."""

__all__ = [
    "check",
    "convert",
    "cost",
    "dream",
    "evaluate",
    "explain",
    "export",
    "info",
    "predict",
    "report",
    "top_activating",
    "train",
    "visualize",
]
