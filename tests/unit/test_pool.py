"""The pool of loaded models."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ai_platform.runtimes.pool import Pool


def test_many_who_ask_at_once_cause_one_load() -> None:
    loads: list[str] = []
    everybody_asks = threading.Barrier(8)

    def load(key: str) -> str:
        loads.append(key)
        return key.upper()

    pool = Pool(load)

    def ask() -> str:
        everybody_asks.wait(5)
        return pool.get("a")

    with ThreadPoolExecutor(8) as threads:
        assert {asked.result() for asked in [threads.submit(ask) for _ in range(8)]} == {"A"}
    assert loads == ["a"]


def test_the_one_unused_for_longest_leaves_first() -> None:
    pool = Pool(str.upper, capacity=2)
    pool.get("a")
    pool.get("b")
    pool.get("a")
    pool.get("c")
    assert pool.peek("b") is None
    assert pool.peek("a") == "A"


def test_a_failed_load_is_tried_again() -> None:
    tries: list[str] = []

    def load(key: str) -> str:
        tries.append(key)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "ready"

    pool = Pool(load)
    with pytest.raises(ValueError, match="not yet"):
        pool.get("a")
    assert pool.get("a") == "ready"
