"""Errors that a client of the server receives."""

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

_MAX_LENGTH = 1000


class ServingError(Exception):
    """An error that is answered with ``{"error": message}``, raised for every request that cannot be answered.

    Args:
        status: HTTP status; that of gRPC follows from it.
        message: One sentence: what was expected, what was received, and how to fix it.
    """

    def __init__(self, status: int, message: str) -> None:
        # Messages quote names and strings of the request, which can be as long as the request.
        super().__init__(message if len(message) <= _MAX_LENGTH else f"{message[:_MAX_LENGTH]}...")
        self.status = status


def bad_request(message: str) -> ServingError:
    """Return the error for an invalid request."""
    return ServingError(BAD_REQUEST, message)


def quote_value(value: object) -> str:
    """Return a value of a request as short, printable text."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
