"""Pauses before a process that died is started again."""

from ai_platform.processes.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 30.0, 30.0)
    assert [backoff.after(1.0) for _ in range(9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_good_life_is_followed_by_the_first_pause() -> None:
    backoff = Backoff(0.5, 30.0, 30.0)
    assert [backoff.after(lived) for lived in (1, 1, 31, 1)] == [0.5, 1.0, 0.5, 1.0]


def test_free_deaths_cost_no_pause() -> None:
    backoff = Backoff(0.5, 30.0, 30.0, free=1)
    assert [backoff.after(lived) for lived in (1, 1, 1, 31, 1)] == [0.0, 0.5, 1.0, 0.0, 0.5]


def test_deaths_without_end_keep_the_longest_pause() -> None:
    backoff = Backoff(0.1, 10.0, 30.0)
    assert {backoff.after(0.0) for _ in range(2_000)} >= {10.0}
