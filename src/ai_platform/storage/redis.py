"""Connections to Redis that give up fast, and a breaker: nothing that a request needs is in Redis alone."""

import time
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from ai_platform.settings import RedisSettings, Settings

KEY_PREFIX = "aip:"


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis, of which every client is asked; made of the settings once.

    Attributes:
        url: with its password.
        limits: how long it is waited for, and not asked again after a failure.
    """

    url: str = field(repr=False)
    limits: RedisSettings

    @classmethod
    def of(cls, settings: Settings) -> "Redis":
        """The one that the settings name.

        Raises:
            InvalidSettings: they name none.
        """
        return cls(settings.redis_dsn, settings.redis)

    def client(self) -> redis.Redis:
        """A client for plain code; no retries, so that a dead Redis costs one time limit."""
        return redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), **self._time_limits())

    def async_client(self) -> redis.asyncio.Redis:
        """A client for requests that wait beside many others; no retries."""
        retry = redis.asyncio.retry.Retry(NoBackoff(), 0)
        return redis.asyncio.Redis.from_url(self.url, retry=retry, max_connections=64, **self._time_limits())

    def breaker(self) -> "Breaker":
        """For one user of it, who is to ask no more for a while after a failure."""
        return Breaker(self.limits.breaker_seconds)

    def _time_limits(self) -> dict[str, Any]:
        return {"socket_connect_timeout": self.limits.connect_seconds, "socket_timeout": self.limits.answer_seconds}


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
