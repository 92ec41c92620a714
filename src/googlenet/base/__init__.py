"""What every other package stands on: errors, version, machine, progress, results in notebooks, workers.

May import nothing of this project.
"""

__all__ = [
    "errors",
    "machine",
    "notebook",
    "platform",
    "progress",
    "signals",
    "text",
    "version",
    "worker_pool",
]
