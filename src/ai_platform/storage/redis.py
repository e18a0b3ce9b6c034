"""Connections to Redis that give up fast, and a breaker: nothing that a request needs is in Redis alone."""

import time

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from ai_platform.settings import Settings

KEY_PREFIX = "aip:"


def client(settings: Settings) -> redis.Redis:
    """A client for plain code; no retries, so that a dead Redis costs one time limit."""
    return redis.Redis.from_url(
        settings.redis_dsn,
        socket_connect_timeout=settings.redis.connect_seconds,
        socket_timeout=settings.redis.answer_seconds,
        retry=Retry(NoBackoff(), 0),
    )


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """A client for requests that wait beside many others; no retries."""
    return redis.asyncio.Redis.from_url(
        settings.redis_dsn,
        socket_connect_timeout=settings.redis.connect_seconds,
        socket_timeout=settings.redis.answer_seconds,
        retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
        max_connections=64,
    )


class Breaker:
    """Remembers that something failed, so that for a while nobody waits for it.

    Args:
        seconds: how long it stays open after a failure.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._closed_at = 0.0

    @property
    def open(self) -> bool:
        """Whether callers should not even try."""
        return time.monotonic() < self._closed_at

    def trip(self) -> None:
        """Note a failure."""
        self._closed_at = time.monotonic() + self._seconds
