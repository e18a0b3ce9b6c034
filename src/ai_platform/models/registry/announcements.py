"""A hint over Redis that aliases changed, so that processes look at once; without Redis they look at their interval."""

import contextlib
import threading
import time

from redis.client import PubSub
from redis.exceptions import RedisError

from ai_platform.storage.redis import KEY_PREFIX, Redis

CHANNEL = f"{KEY_PREFIX}models"


def announce(redis: Redis | None, model: str) -> None:
    """Tell every process that a model's aliases changed; whoever does not hear it sees it at its next look."""
    if redis is not None:
        with contextlib.suppress(RedisError, OSError):
            redis.client().publish(CHANNEL, model)


class Announcements:
    """Waits for a hint in one thread.

    Args:
        redis: which carries the hints.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._breaker = redis.breaker()
        self._channel: PubSub | None = None

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
                self._channel = self._redis.client().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._channel.subscribe(CHANNEL)
            return self._channel.get_message(timeout=seconds) is not None
        except (RedisError, OSError):
            self._breaker.trip()
            self.close()
            return False

    def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            with contextlib.suppress(RedisError, OSError):
                self._channel.close()
            self._channel = None
