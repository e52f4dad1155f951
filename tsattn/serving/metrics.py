"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tsattn_requests", "Requests that were answered.", ("method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "tsattn_request_seconds",
            "Time from the arrival of a request's head to the end of its answer.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "tsattn_batch_requests", "Requests that were run together.", buckets=_SIZES, registry=self.registry
        )
        self._rows = Histogram("tsattn_batch_rows", "Rows of a batch.", buckets=_SIZES, registry=self.registry)
        self._inferences = Counter(
            "tsattn_inferences", "Calls for a signature.", ("signature", "outcome"), registry=self.registry
        )
        self._waiting = Gauge("tsattn_queue_rows", "Rows that wait to be run.", registry=self.registry)
        self._refused = Counter(
            "tsattn_refused", "Requests that were refused for want of room.", ("reason",), registry=self.registry
        )
        self._versions = Gauge(
            "tsattn_version_loaded", "Versions that are served: 1.", ("model", "version"), registry=self.registry
        )

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: what was asked, one of a few names.
            status: of the answer.
            seconds: that it took.
        """
        self._requests.labels(method, str(status)).inc()
        self._seconds.labels(method).observe(seconds)

    def inferred(self, signature: str, outcome: str) -> None:
        """Count a call for a signature."""
        self._inferences.labels(signature, outcome).inc()

    def ran(self, requests: int, rows: int) -> None:
        """Count a batch."""
        self._batches.observe(requests)
        self._rows.observe(rows)

    def waiting(self, rows: int) -> None:
        """Tell how many rows wait."""
        self._waiting.set(rows)

    def refused(self, reason: str) -> None:
        """Count a request for which there was no room."""
        self._refused.labels(reason).inc()

    def serves(self, model: str, versions: list[int]) -> None:
        """Tell which versions are loaded."""
        self._versions.clear()
        for version in versions:
            self._versions.labels(model, str(version)).set(1)

    def text(self) -> bytes:
        """Return all of it in the text format of Prometheus."""
        return generate_latest(self.registry)
