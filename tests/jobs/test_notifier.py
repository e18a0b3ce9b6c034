"""The notifier: what it puts into Redis, how it groups it, and what it does when Redis is away."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from ai_platform.jobs.notifier import IDS_PER_NOTIFICATION, MAX_WAITING, QUEUE, RUN_JOBS, Notifier
from ai_platform.predictions.ids import new_id
from ai_platform.settings import Settings
from ai_platform.storage.redis import KEY_PREFIX, Redis
from harness import eventually, free_port


@pytest.fixture
def valkey(settings: Settings) -> Iterator[redis.Redis]:
    with Redis.of(settings).client() as connected:
        yield connected


def sent(valkey: redis.Redis) -> list[tuple[str, list[str]]]:
    """The task and the ids of each message, in the order in which they were sent."""
    messages: Any = valkey.lrange(f"{KEY_PREFIX}{QUEUE}", 0, -1)
    return [_read(json.loads(message)) for message in reversed(messages)]


def _read(message: dict[str, Any]) -> tuple[str, list[str]]:
    arguments = json.loads(base64.b64decode(message["body"]))[0]
    return message["headers"]["task"], arguments[0]


def ids_of(count: int) -> list[uuid.UUID]:
    return [new_id() for _ in range(count)]


def texts(ids: list[uuid.UUID]) -> list[str]:
    return sorted(map(str, ids))


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("aip_notifications_total", {"outcome": outcome}) or 0.0


def test_a_message_names_the_jobs_of_one_version_and_no_others(settings: Settings, valkey: redis.Redis) -> None:
    first, second = ids_of(3), ids_of(2)
    notifier = Notifier(Redis.of(settings))
    notifier.notify([("iris", 1, first[0]), ("iris", 2, second[0]), ("iris", 1, first[1])])
    notifier.notify([("iris", 2, second[1]), ("iris", 1, first[2])])
    notifier.start()
    eventually(lambda: len(sent(valkey)) == 2, what="two messages")
    notifier.close()
    assert [(task, sorted(ids)) for task, ids in sent(valkey)] == [(RUN_JOBS, texts(first)), (RUN_JOBS, texts(second))]


def test_a_message_names_no_more_jobs_than_its_bound(settings: Settings, valkey: redis.Redis) -> None:
    ids = ids_of(IDS_PER_NOTIFICATION + 1)
    notifier = Notifier(Redis.of(settings))
    notifier.notify(("iris", 1, one) for one in ids)
    notifier.start()
    notifier.close()
    messages = eventually(lambda: len(sent(valkey)) == 2 and sent(valkey), what="two messages")
    assert [len(named) for _, named in messages] == [IDS_PER_NOTIFICATION, 1]
    assert sorted(one for _, named in messages for one in named) == texts(ids)


def test_what_waits_when_it_is_closed_is_sent_first(settings: Settings, valkey: redis.Redis) -> None:
    notifier = Notifier(Redis.of(settings))
    notifier.start()
    (job_id,) = ids_of(1)
    notifier.notify([("iris", 1, job_id)])
    notifier.close()
    assert sent(valkey) == [(RUN_JOBS, [str(job_id)])]


def test_without_redis_nobody_is_told_of_it_and_it_is_counted(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})
    before = counted("failed")
    notifier = Notifier(Redis.of(away))
    notifier.start()
    notifier.notify([("iris", 1, new_id())])
    eventually(lambda: counted("failed") == before + 1, what="the failure is counted")
    notifier.notify([("iris", 1, new_id())])
    eventually(lambda: counted("failed") == before + 2, what="the next one is counted too")
    notifier.close()


def test_beyond_its_bound_notifications_are_dropped_and_counted(settings: Settings) -> None:
    before = counted("dropped")
    Notifier(Redis.of(settings)).notify(("iris", 1, one) for one in ids_of(MAX_WAITING + 3))
    assert counted("dropped") == before + 3
