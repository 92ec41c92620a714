"""Published weight sets and other people's checkpoints under the names of Table 1.

May import the packages of layers 0 to 4.
"""

__all__ = ["checkpoints", "convert", "matching", "own_exports", "published", "readers"]
