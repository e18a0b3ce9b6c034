"""The arithmetic behind the report."""

from typing import Any

from benchmarks.harness.figures import percentile, ratios, spread
from benchmarks.report.targets import halves, peak_of, verdicts
from benchmarks.scenarios.overload import recovery_seconds


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10, 4], [5, 1]) == [2, 4]
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}


def test_recovery_comes_with_the_first_two_normal_seconds_in_a_row() -> None:
    normal, strange = {"p50_ms": 20.0}, {"p50_ms": 31.0}

    def after(*kinds: dict[str, float] | None) -> float:
        windows = [{"second": float(second), **kind} for second, kind in enumerate(kinds) if kind is not None]
        return recovery_seconds(windows, 20.0, 10.0)

    assert after(normal, normal, strange) == 0
    assert after(normal, strange, normal, normal) == 2
    assert after(normal, None, normal, normal) == 2, "a second without an answer is not normal"
    assert after(strange, normal, strange, normal) == 10


def test_the_peak_is_the_best_at_any_load() -> None:
    assert peak_of({"capacity": 40.0, "at": {"1": {"goodput": 44.0}, "2": {"goodput": 30.0}}}) == 44.0


def test_memory_is_judged_by_the_peaks_of_its_halves() -> None:
    assert halves([1.0, 5.0, 2.0, 3.0, 6.5, 4.0]) == (5.0, 6.5)
    kept = verdicts({"memory": {"pss_mb": [100.0, 101.0, 102.9, 100.0]}})
    assert [each.kept for each in kept if each.kept is not None] == [True]


def test_what_was_not_measured_is_not_claimed() -> None:
    assert {each.kept for each in verdicts({})} == {None}
    assert {each.measured for each in verdicts({})} == {""}


def test_one_failed_request_breaks_the_promise_of_restarts() -> None:
    seen: dict[str, Any] = {"requests": 1000, "failures": {"iris: lost": 1}}
    figures = {"restart": {"seen": seen, "restarts": 10}}
    (verdict,) = [each for each in verdicts(figures) if each.kept is not None]
    assert (verdict.kept, verdict.measured) == (False, "1 of 1,000 in 10 restarts")
