"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable

import pytest


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition; how many seconds that took."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > seconds:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)
    return time.monotonic() - begun
