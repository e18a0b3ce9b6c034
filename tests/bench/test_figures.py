"""The arithmetic behind the pages, and the pages that are published."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from benchmarks.harness import pages, results
from benchmarks.harness.figures import percentile, ratios, shown, spread
from benchmarks.harness.scenario import Scenario, Target
from benchmarks.scenarios import SCENARIOS, memory, restart
from benchmarks.scenarios.overload import peak_of, recovery_seconds

PUBLISHED = Path(__file__).parents[2] / "docs" / "benchmarks"
BY_PAGE: dict[str, list[Scenario]] = defaultdict(list)
for one in SCENARIOS:
    BY_PAGE[one.page].append(one)


@pytest.mark.parametrize("page", BY_PAGE)
def test_a_published_page_says_what_its_figures_say(page: str) -> None:
    found = {one.name: results.read(PUBLISHED / "data", one.name) for one in BY_PAGE[page]}
    measured = {name: kept for name, kept in found.items() if kept is not None}
    text = pages.text(page, [one for one in BY_PAGE[page] if one.name in measured], measured)
    assert (PUBLISHED / f"{page}.md").read_text(encoding="utf-8") == text, "write it anew: make bench-pages"
    assert not [name for name, kept in measured.items() if kept["circumstances"]["quick"]]


def test_figures_are_read_as_they_were_written() -> None:
    text = (PUBLISHED / "data" / "memory.json").read_text(encoding="utf-8")
    assert results.flat(json.loads(text)) == text


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10, 4], [5, 1]) == [2, 4]
    assert spread([3.0, 1.0, None, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert spread([None]) is None


def test_a_figure_is_written_with_as_many_digits_as_it_is_worth() -> None:
    assert [shown(value) for value in (None, 1234, 1234.5, 99.44, 9.994)] == ["", "1,234", "1,234", "99.4", "9.99"]
    assert shown(spread([1.0, 2.0, 30.0]), " ms") == "2.00 ms (1.00 to 30.0)"


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
    assert memory.halves([1.0, 5.0, 2.0, 3.0, 6.5, 4.0]) == (5.0, 6.5)
    kept, grown = {"pss_mb": [100.0, 101.0, 102.9, 100.0]}, {"pss_mb": [100.0, 101.0, 103.1, 100.0]}
    assert [memory.TARGETS[0].row(each)[2:] for each in (kept, grown)] == [["1.90 MB", "yes"], ["2.10 MB", "**no**"]]


def test_one_failed_request_breaks_the_promise_of_restarts() -> None:
    assert restart.TARGETS[0].row({"failures": {"read": 1}})[2:] == ["1", "**no**"]


def test_what_was_not_measured_keeps_no_promise() -> None:
    target = Target("p99", "at most 3", lambda it: spread(it["tails"]), at_most=3)
    assert target.row({"tails": []})[2:] == ["nothing", "**no**"]
    assert target.row({"tails": [2.0, 3.0, 9.0]})[2:] == ["3.00 (2.00 to 9.00)", "yes"]
