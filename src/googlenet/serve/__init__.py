"""Models over HTTP, without torch in the process.

The way of a request: `protocol` limits connection, head and time; `middleware` checks the token;
`request_body` limits and reads the body; `app` finds the model and gives the image to its `batcher`, which
decodes in threads, computes in micro-batches in one thread, and refuses what it cannot do in time.

May import the packages of layers 0 to 8.
"""

__all__ = [
    "app",
    "batcher",
    "errors",
    "export_cache",
    "metrics",
    "middleware",
    "openapi",
    "openinference",
    "page",
    "protocol",
    "request_body",
    "schemas",
    "server",
    "service",
]
