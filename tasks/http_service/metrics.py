"""Metrics of a running service for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nightloop.tasks.correctors.reloop2 import ReLoop2
from nightloop.tasks.serving.predictor import Predictor

PATHS = ("/score", "/recommend", "/observe", "/health", "/metrics")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
M = TypeVar("M", Counter, Gauge)


class ServiceMetrics:
    """One registry a service, so that two of them in a process do not mix."""

    media = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.seconds = Histogram(
            "nightloop_request_seconds",
            "Time of requests",
            ("path", "status"),
            buckets=SECONDS,
            registry=self._registry,
        )
        degraded = "1 if the newest champion does not load or nothing can be recorded"
        occupancy = "Entropy of ReLoop2's buckets, 1 is even; or the share in use"
        self._labels = self._metric(Counter, "labels", "Labelled rows by what became of them", "outcome")
        self.unrecorded = self._metric(
            Counter, "unrecorded", "Answers and deliveries of labels that could not be recorded"
        )
        self._degraded = self._metric(Gauge, "degraded", degraded)
        self._champion = self._metric(Gauge, "champion", "Entry of the promotion log that serves")
        self._waiting = self._metric(Gauge, "book_rows", "Served rows that are kept for their labels")
        self._forgotten = self._metric(Gauge, "book_forgotten", "Requests that left the book")
        self._occupancy = self._metric(Gauge, "memory_occupancy", occupancy, "corrector")
        self._strength = self._metric(Gauge, "reloop2_lambda", "The lambda that serves", "corrector")

    def _metric(self, kind: type[M], name: str, words: str, *labels: str) -> M:
        return kind(f"nightloop_{name}", words, labels, registry=self._registry)

    def count_labels(self, counts: Mapping[str, int]) -> None:
        """Count labelled rows."""
        for outcome, rows in counts.items():
            self._labels.labels(outcome).inc(rows)

    def text(self, predictor: Predictor, degraded: bool) -> bytes:
        """All of it in Prometheus' text format, with the state of this moment."""
        self._degraded.set(degraded)
        self._champion.set(predictor.version.number)
        if learning := predictor.learning:
            self._waiting.set(learning.pending.rows)
            self._forgotten.set(learning.pending.forgotten)
            with learning.lock:
                chain = learning.now.chain
                for label, corrector in chain.correctors.items():
                    if isinstance(corrector, ReLoop2):
                        self._occupancy.labels(label).set(corrector.memory.occupancy(chain.states[label]))
                        self._strength.labels(label).set(corrector.serving(chain.states[label])[0])
        return generate_latest(self._registry)


class TimingMiddleware:
    """ASGI middleware: counts requests by path, any but `PATHS` as `other`; a client that left before the answer counts as 499."""

    def __init__(self, app: ASGIApp, gauges: ServiceMetrics) -> None:
        self.app, self.gauges = app, gauges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and look at what is sent back."""
        begin, status = perf_counter(), 499

        async def send_counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        except Exception:
            status = 500
            raise
        finally:
            if scope["type"] == "http":
                path = scope["path"] if scope["path"] in PATHS else "other"
                self.gauges.seconds.labels(path, str(status)).observe(perf_counter() - begin)
