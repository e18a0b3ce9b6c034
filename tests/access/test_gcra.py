"""The bucket's arithmetic, beside what it must mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_platform.access.gcra import Bucket, Limit, limit_of

pytestmark = pytest.mark.quick

RATES = st.floats(0.5, 1000)
ARRIVALS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), min_size=1, max_size=60)


@given(RATES, st.integers(1, 100), ARRIVALS)
def test_no_more_is_admitted_than_a_burst_and_the_rate_allow(
    rate: float, burst: int, arrivals: list[tuple[float, int]]
) -> None:
    bucket, now, admitted, largest = Bucket(Limit(rate, burst)), 100.0, 0, 0
    for pause, rows in arrivals:
        now += pause
        if not bucket.take(rows, now):
            admitted += rows
            largest = max(largest, rows)
        assert admitted <= burst + rate * (now - 100.0) + max(0, largest - burst) + 1e-6 * admitted


@given(RATES, st.integers(1, 100), ARRIVALS)
def test_whoever_waits_as_long_as_was_said_is_admitted(
    rate: float, burst: int, arrivals: list[tuple[float, int]]
) -> None:
    bucket, now = Bucket(Limit(rate, burst)), 100.0
    for pause, rows in arrivals:
        now += pause
        wait = bucket.take(rows, now)
        if wait:
            now += wait + 1e-6
            assert bucket.take(rows, now) == 0


def test_after_a_pause_a_whole_burst_comes_at_once_and_then_the_rate() -> None:
    bucket = Bucket(Limit(10, 5))
    assert [bucket.take(1, 0.0) for _ in range(5)] == [0] * 5
    assert round(bucket.take(1, 0.0), 6) == 0.1
    assert (bucket.left(0.0), bucket.left(0.1), bucket.left(9.0)) == (0, 1, 5)
    assert bucket.take(1, 0.1) == 0


def test_what_is_larger_than_a_burst_is_admitted_into_an_empty_bucket_and_paid_for() -> None:
    bucket = Bucket(Limit(10, 5))
    assert bucket.take(20, 0.0) == 0
    assert bucket.take(1, 1.5) > 0
    assert bucket.take(1, 1.6) == 0


def test_what_is_given_back_was_never_taken() -> None:
    bucket = Bucket(Limit(10, 5))
    assert bucket.take(5, 0.0) == 0
    bucket.give_back(5)
    assert (bucket.left(0.0), bucket.unsettled) == (5, 0)


def test_of_a_share_each_process_has_its_part() -> None:
    bucket = Bucket(Limit(10, 4))
    assert [bucket.take(1, 0.0, 2) for _ in range(2)] == [0, 0]
    assert round(bucket.take(1, 0.0, 2), 6) == 0.2


def test_no_rate_is_no_limit_and_no_burst_is_one_seconds_worth() -> None:
    assert limit_of(0, 5) is None
    assert limit_of(None, None) is None
    assert limit_of(2.4, 0) == Limit(2.4, 2)
    assert limit_of(0.1, None) == Limit(0.1, 1)
    assert limit_of(3, 9) == Limit(3, 9)
