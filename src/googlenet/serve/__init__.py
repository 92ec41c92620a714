"""A model on HTTP, without torch in the process.

A request's way: `server` bounds connection, headers and time; `bodies` bounds and reads the body; `app` finds
the model and gives the image to its `engine`, which decodes in threads, computes in micro-batches in one
thread, and refuses what it cannot do in time.
"""

__all__ = [
    "app",
    "bodies",
    "counters",
    "engine",
    "guard",
    "openapi",
    "openinference",
    "page",
    "server",
    "service",
]
