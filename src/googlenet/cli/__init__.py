"""The command line: one module per verb. Each parses, calls one function of the library, and prints.

May import every other package.
"""

__all__ = [
    "checkpage",
    "common",
    "costtable",
    "insights",
    "main",
    "serve",
    "sights",
    "terminal",
    "tools",
    "verbs",
]
