"""What is counted in plain numbers reaches the metrics as if each event had been told to them."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from ai_platform.telemetry import LATENCY_BUCKETS, Tally

pytestmark = pytest.mark.quick


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_tally_and_a_histogram_agree_at_every_bound(registry: CollectorRegistry) -> None:
    given = [value for bound in LATENCY_BUCKETS for value in (bound * 0.999, bound, bound * 1.001)] + [0.0, 99.0]
    direct = Histogram("direct", "-", buckets=LATENCY_BUCKETS, registry=registry)
    tallied = Histogram("tallied", "-", buckets=LATENCY_BUCKETS, registry=registry)
    tally = Tally(tallied, [])
    for value in given:
        direct.observe(value)
        tally.add(value)
    tally.flush()
    for bound in [*map(str, map(float, LATENCY_BUCKETS)), "+Inf"]:
        expected = registry.get_sample_value("direct_bucket", {"le": bound})
        assert expected is not None
        assert registry.get_sample_value("tallied_bucket", {"le": bound}) == expected, bound
    assert registry.get_sample_value("tallied_count") == len(given)
    assert registry.get_sample_value("tallied_sum") == pytest.approx(sum(given))


def test_each_event_is_added_once(registry: CollectorRegistry) -> None:
    events, rows = Counter("events", "-", registry=registry), Counter("rows", "-", registry=registry)
    tally = Tally(Histogram("seconds", "-", buckets=LATENCY_BUCKETS, registry=registry), [events], rows)
    for amount in (1, 64):
        tally.add(0.001, amount)
    for _ in range(3):
        tally.flush()
    tally.add(0.001, 5)
    tally.flush()
    assert registry.get_sample_value("events_total") == 3
    assert registry.get_sample_value("rows_total") == 70
    assert registry.get_sample_value("seconds_count") == 3
