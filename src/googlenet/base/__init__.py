"""What every other package stands on: errors, version, machine, progress, results in notebooks.

May import nothing of this project.
"""

__all__ = ["errors", "machine", "notebook", "progress", "text", "version"]
