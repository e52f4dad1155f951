"""Settings of the server."""

from __future__ import annotations

from pydantic import Field, field_validator

from tsattn.config import BaseConfig


class Settings(BaseConfig):
    """Addresses, limits and batching of the server."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all interfaces")
    port: int = Field(8501, ge=0, le=65535, description="HTTP port; 0 for a free one")
    grpc_port: int | None = Field(
        None, ge=0, le=65535, description="gRPC port, usually 8500; 0 for a free one, no gRPC by default"
    )
    name: str | None = Field(
        None, description="name of the model in URLs; by default the name with which it was exported"
    )
    labels: dict[str, int] = Field({}, description="versions by label, which stay loaded next to the latest version")
    poll_seconds: float = Field(2.0, ge=0, description="interval between checks for a new version; 0 for no checks")
    verify: bool = Field(True, description="compare the files of a run with the hashes in its run.json")
    batching: bool = Field(True, description="run waiting requests in one batch")
    max_batch_size: int = Field(128, ge=1, description="maximum number of rows per batch; larger requests are split")
    batch_timeout_micros: int = Field(
        0, ge=0, description="maximum time that the first request of a batch waits for others while the model is idle"
    )
    num_batch_threads: int = Field(1, ge=1, description="number of batches that run at the same time")
    max_enqueued_batches: int = Field(
        100, ge=1, description="maximum number of waiting batches; further requests are answered with status 429"
    )
    max_request_bytes: int = Field(
        16 * 2**20, ge=1, description="maximum size of a request; larger ones are answered with status 413"
    )
    max_response_bytes: int = Field(
        64 * 2**20,
        ge=1,
        description="maximum size of an answer; requests with larger ones are answered with status 413",
    )
    read_timeout: float = Field(30.0, gt=0, description="seconds for a request to arrive, else status 408")
    request_timeout: float = Field(30.0, gt=0, description="seconds from arrival to answer, else status 504")
    write_timeout: float = Field(
        60.0, gt=0, description="seconds for a client to read an answer, else its connection is closed"
    )
    shutdown_timeout: float = Field(
        30.0, gt=0, description="seconds for requests in progress to finish when the server stops"
    )
    max_connections: int = Field(
        1024, ge=1, description="maximum number of requests in progress; further ones are answered with status 503"
    )
    max_client_connections: int = Field(
        512, ge=1, description="maximum number of connections from one address; on further ones the status is 503"
    )
    allowed_hosts: tuple[str, ...] | None = Field(
        None, description="names in the header Host, such as api.example.org or *.example.org; any by default"
    )
    token: str | None = Field(
        None, min_length=1, description="token that clients send as Authorization: Bearer; not required by default"
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
