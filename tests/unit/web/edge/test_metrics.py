"""What the metrics page counts, in Prometheus's own text format."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headwater.web.edge.metrics import Metrics
from tests.support.server.serving import ServerUnderTest

pytestmark = pytest.mark.sqlite_only


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The page's values by name and labels, read by Prometheus's own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_contract_method_and_status(server: ServerUnderTest) -> None:
    for _ in range(3):
        server.client.get("/api/v1/contacts")
    server.client.get("/nowhere")
    found = samples(server.client.get("/metrics").text)
    contacts = (("contract", "contacts"), ("method", "GET"), ("status", "200"))
    nowhere = (("contract", "none"), ("method", "GET"), ("status", "404"))
    assert found["headwater_requests_total", contacts] == 3
    assert found["headwater_requests_total", nowhere] == 1
    assert found["headwater_request_seconds_count", (("contract", "contacts"),)] == 3
    assert found["headwater_requests_in_flight", ()] == 1


def test_the_page_says_what_it_is(server: ServerUnderTest) -> None:
    assert server.client.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_methods_that_nobody_serves_add_one_row_in_all() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.count("none", f"METHOD{number}", 405, 0.001)
    assert metrics.render().count(b'method="') == 1


def test_a_duration_falls_into_every_bucket_above_it() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.02, 99.0):
        metrics.count("c", "GET", 200, seconds)
    found = samples(metrics.render().decode())
    buckets = {labels[1][1]: value for (name, labels), value in found.items() if name.endswith("_bucket")}
    assert (buckets["0.001"], buckets["0.025"], buckets["10.0"], buckets["+Inf"]) == (1, 2, 2, 3)


def test_a_gauge_is_read_at_each_scrape() -> None:
    metrics, level = Metrics(), [1.0]
    metrics.gauge("headwater_level", "A level.", lambda: level[0])
    assert samples(metrics.render().decode())["headwater_level", ()] == 1
    level[0] = 2.0
    assert samples(metrics.render().decode())["headwater_level", ()] == 2
