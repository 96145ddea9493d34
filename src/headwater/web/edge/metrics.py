"""Counts requests cheaply, and renders the counts for Prometheus at each scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts of requests by contract, method and status, and their durations; gauges are read at the scrape."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, contract: str, method: str, status: int, seconds: float) -> None:
        """Counts one answered request; unknown methods share one label, so that callers cannot add rows."""
        key = (contract, method if method in _METHODS else "other", status)
        self._requests[key] = self._requests.get(key, 0) + 1
        buckets = self._buckets.get(contract)
        if buckets is None:
            buckets = self._buckets[contract] = [0] * (len(_BOUNDS_SECONDS) + 1)
            self._seconds[contract] = 0.0
        buckets[bisect_left(_BOUNDS_SECONDS, seconds)] += 1
        self._seconds[contract] += seconds

    def gauge(self, name: str, sentence: str, read: Callable[[], float]) -> None:
        """Registers a gauge, whose value ``read`` returns at each scrape."""
        self._gauges[name] = (sentence, read)

    def render(self) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics; the Prometheus client calls it at a scrape."""
        requests = CounterMetricFamily(
            "headwater_requests", "Requests answered.", labels=("contract", "method", "status")
        )
        for (contract, method, status), number in sorted(self._requests.items()):
            requests.add_metric((contract, method, str(status)), number)
        yield requests
        seconds = HistogramMetricFamily(
            "headwater_request_seconds",
            "Time from the request's headers to the last byte handed over.",
            labels=("contract",),
        )
        for contract, buckets in sorted(self._buckets.items()):
            total, shown = 0, []
            for bound, number in zip((*map(str, _BOUNDS_SECONDS), "+Inf"), buckets, strict=True):
                total += number
                shown.append((bound, total))
            seconds.add_metric((contract,), shown, self._seconds[contract])
        yield seconds
        for name, (sentence, read) in sorted(self._gauges.items()):
            yield GaugeMetricFamily(name, sentence, value=read())
