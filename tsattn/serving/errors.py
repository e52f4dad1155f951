"""What a client is told when a request cannot be answered."""

from __future__ import annotations

BAD_REQUEST = 400
UNAUTHORISED = 401
NOT_FOUND = 404
REQUEST_TIMEOUT = 408
TOO_LARGE = 413
UNSUPPORTED = 415
QUEUE_FULL = 429
FAILED = 500
NOT_IMPLEMENTED = 501
UNAVAILABLE = 503
TIMED_OUT = 504

_LONGEST = 1000


class ServingError(Exception):
    """A request that is answered with ``{"error": message}``.

    Args:
        status: of HTTP; gRPC's follows from it.
        message: one sentence: what was expected, what came, how to mend it.
    """

    def __init__(self, status: int, message: str) -> None:
        # Names and texts of a request are repeated in messages, and they may be as long as the request.
        super().__init__(message if len(message) <= _LONGEST else f"{message[:_LONGEST]}...")
        self.status = status


def bad_request(message: str) -> ServingError:
    """Return the error of a request that will never be right."""
    return ServingError(BAD_REQUEST, message)


def shown(value: object) -> str:
    """Return a value of a request as text that fits a message and a terminal."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
