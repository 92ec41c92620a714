"""The command line: one module per verb, in `verbs`. Each parses, calls the library, and prints.

May import every other package.
"""

__all__ = ["check_table", "common", "cost_table", "main", "tables", "verbs"]
