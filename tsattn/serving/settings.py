"""The options of the server."""

from __future__ import annotations

from pydantic import Field

from tsattn.config import Options


class Settings(Options):
    """How a model is served.

    Args:
        host: address to bind to.
        port: of HTTP; 0 for a free one.
        grpc_port: of gRPC; 0 for a free one, None for none.
        name: of the model in addresses; by default the name it was exported by.
        labels: versions by their label, kept loaded beside the latest.
        poll_seconds: time between two looks for a new version; 0 never looks.
        batching: whether requests that wait are run together.
        max_batch_size: rows that are run together at most; a larger request is run in parts.
        batch_timeout_micros: time that the first request of a batch waits for others while the model is free.
        num_batch_threads: batches that are run at a time.
        max_enqueued_batches: batches of ``max_batch_size`` rows that may wait; what comes beyond them is answered 429.
        max_request_bytes: longest body or gRPC message.
        read_timeout: seconds for a request to arrive.
        request_timeout: seconds from its arrival to its answer.
        shutdown_timeout: seconds that requests in flight have to finish at the end.
        max_connections: requests that are read or answered at a time; what comes beyond them is answered 503.
        token: what clients have to send as ``Authorization: Bearer``; None for everybody.
    """

    host: str = "127.0.0.1"
    port: int = Field(8501, ge=0, le=65535)
    grpc_port: int | None = Field(None, ge=0, le=65535)
    name: str | None = None
    labels: dict[str, int] = Field({})
    poll_seconds: float = Field(2.0, ge=0)
    batching: bool = True
    max_batch_size: int = Field(128, ge=1)
    batch_timeout_micros: int = Field(0, ge=0)
    num_batch_threads: int = Field(1, ge=1)
    max_enqueued_batches: int = Field(100, ge=1)
    max_request_bytes: int = Field(16 * 2**20, ge=1)
    read_timeout: float = Field(30.0, gt=0)
    request_timeout: float = Field(30.0, gt=0)
    shutdown_timeout: float = Field(30.0, gt=0)
    max_connections: int = Field(1024, ge=1)
    token: str | None = Field(None, min_length=1)
