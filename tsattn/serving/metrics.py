"""Metrics of the server for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Metrics of one server, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tsattn_requests", "Answered requests.", ("method", "status"), registry=self.registry)
        self._seconds = Histogram(
            "tsattn_request_seconds",
            "Time from the arrival of the request headers to the end of the response.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "tsattn_batch_requests", "Batch size in requests.", buckets=_SIZES, registry=self.registry
        )
        self._rows = Histogram("tsattn_batch_rows", "Batch size in rows.", buckets=_SIZES, registry=self.registry)
        self._inferences = Counter(
            "tsattn_inferences", "Calls of a signature.", ("signature", "outcome"), registry=self.registry
        )
        self._waiting = Gauge("tsattn_queue_rows", "Rows in the queue.", registry=self.registry)
        self._rejected = Counter(
            "tsattn_refused", "Requests that exceeded the capacity.", ("reason",), registry=self.registry
        )
        self._versions = Gauge(
            "tsattn_version_loaded", "1 for each loaded version.", ("model", "version"), registry=self.registry
        )

    def observe_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a response with its duration in seconds."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def count_inference(self, signature: str, outcome: str) -> None:
        """Count a call of a signature."""
        self._inferences.labels(signature, outcome).inc()

    def observe_batch(self, requests: int, rows: int) -> None:
        """Count a batch."""
        self._batches.observe(requests)
        self._rows.observe(rows)

    def set_queue_rows(self, rows: int) -> None:
        """Set the number of rows in the queue."""
        self._waiting.set(rows)

    def count_rejection(self, reason: str) -> None:
        """Count a request that exceeded the capacity."""
        self._rejected.labels(reason).inc()

    def set_versions(self, model: str, versions: list[int]) -> None:
        """Set the loaded versions."""
        self._versions.clear()
        for version in versions:
            self._versions.labels(model, str(version)).set(1)

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
