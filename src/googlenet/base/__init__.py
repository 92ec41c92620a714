"""Errors, version, machine, platform, progress and notebook tables: what every other package uses.

May import nothing of this project.
"""

__all__ = ["errors", "machine", "notebook", "platform", "progress", "version"]
