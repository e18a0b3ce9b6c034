"""The pool of loaded models."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ai_platform.runtimes.base.pool import Pool

pytestmark = pytest.mark.quick


def test_many_who_ask_at_once_cause_one_load() -> None:
    loads: list[str] = []
    everybody_asks = threading.Barrier(8)

    def load(key: str) -> str:
        loads.append(key)
        return key.upper()

    pool = Pool(load, len, 10)

    def ask() -> str:
        everybody_asks.wait(5)
        return pool.get("a")

    with ThreadPoolExecutor(8) as threads:
        assert {asked.result() for asked in [threads.submit(ask) for _ in range(8)]} == {"A"}
    assert loads == ["a"]


def test_beyond_the_capacity_the_one_unused_for_longest_leaves_first() -> None:
    pool = Pool(str.upper, len, 4)
    for key in ("aa", "bb", "aa", "cc"):
        pool.get(key)
    assert pool.peek("bb") is None
    assert (pool.peek("aa"), pool.bytes_held) == ("AA", 4)


def test_a_named_model_never_leaves_however_full_the_pool_is() -> None:
    pool = Pool(str.upper, len, 4)
    pool.get("aaaa")
    pool.name(frozenset({"aaaa", "dd"}))
    for key in ("bb", "cc", "dd", "ee"):
        pool.get(key)
    assert pool.peek("aaaa") == "AAAA"
    assert pool.peek("dd") == "DD"
    assert pool.peek("bb") is pool.peek("cc") is None


def test_a_model_that_nothing_names_any_more_leaves_when_there_is_no_room() -> None:
    pool = Pool(str.upper, len, 2)
    pool.name(frozenset({"aa", "bb"}))
    pool.get("aa")
    pool.get("bb")
    pool.name(frozenset({"bb"}))
    assert (pool.peek("aa"), pool.peek("bb")) == (None, "BB")


def test_a_model_larger_than_the_pool_is_served_all_the_same() -> None:
    pool = Pool(str.upper, len, 2)
    assert pool.get("abcdef") == "ABCDEF"
    assert pool.peek("abcdef") == "ABCDEF"


def test_a_failed_load_is_tried_again() -> None:
    tries: list[str] = []

    def load(key: str) -> str:
        tries.append(key)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "ready"

    pool = Pool(load, len, 10)
    with pytest.raises(ValueError, match="not yet"):
        pool.get("a")
    assert pool.get("a") == "ready"
