"""Errors that a request is answered with; each has a status, a stable code and a text for the client."""


class HTTPError(Exception):
    """A request that cannot be answered; by default because the request itself is wrong."""

    status, code = 400, "request"

    def __init__(self, text: str, *, status: int | None = None, code: str | None = None) -> None:
        """Keep the text for the client; None for a status or code takes the class's."""
        super().__init__(text)
        self.status, self.code = status or self.status, code or self.code


class QueueFull(HTTPError):
    """So many images wait that another would not be answered in time."""

    status, code = 429, "full"

    def __init__(self) -> None:
        """Say what to do about it."""
        super().__init__("too many photos wait; try again later")


class DeadlineExceeded(HTTPError):
    """The deadline passed before there was an answer."""

    status, code = 504, "late"


class ModelUnavailable(HTTPError):
    """The model is not ready, or its computation failed."""

    status, code = 503, "broken"
