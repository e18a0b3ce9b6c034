"""A hint over Redis that aliases changed, so that processes look at once; without Redis they look at their interval."""

import contextlib
import threading
import time

import redis
import redis.exceptions

from ai_platform.errors import InvalidSettings
from ai_platform.settings import Settings
from ai_platform.storage.redis import KEY_PREFIX, Breaker, Redis

CHANNEL = f"{KEY_PREFIX}models"


def announce(settings: Settings, model: str) -> None:
    """Tell every process that a model's aliases changed; whoever does not hear it sees it at its next look."""
    with contextlib.suppress(redis.exceptions.RedisError, OSError, InvalidSettings):
        Redis.of(settings).client().publish(CHANNEL, model)


class Announcements:
    """Waits for a hint in one thread.

    Args:
        settings: the platform's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._breaker = Breaker(settings.redis.breaker_seconds)
        self._channel: redis.client.PubSub | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return at a hint, when told to stop, or after that many seconds; sooner for no other reason."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stop.is_set():
            if self._breaker.open:
                stop.wait(left)
            elif self._heard(min(left, 0.25)):
                return

    def _heard(self, seconds: float) -> bool:
        """Whether something was announced; a quarter of a second at most, so that a stop is seen in time."""
        try:
            if self._channel is None:
                self._channel = Redis.of(self._settings).client().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._channel.subscribe(CHANNEL)
            return self._channel.get_message(timeout=seconds) is not None
        except (redis.exceptions.RedisError, OSError):
            self._breaker.trip()
            self.close()
            return False

    def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                self._channel.close()
            self._channel = None
