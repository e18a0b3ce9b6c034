"""What somebody who can write to Redis gets the worker to do: nothing."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from kombu.messaging import Producer

from ai_platform.jobs.notifier import QUEUE, RUN_JOBS, celery_app
from ai_platform.storage.redis import Redis
from harness import Platform, eventually


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


@pytest.mark.parametrize(
    ("task", "said"), [(RUN_JOBS, "Refusing to deserialize"), ("os.system", "unregistered task of type 'os.system'")]
)
def test_a_forged_message_runs_nothing_and_the_worker_goes_on(
    platform: Platform, tmp_path: Path, task: str, said: str
) -> None:
    made = tmp_path / "made"
    with celery_app(Redis.of(platform.settings)) as app, app.connection_for_write() as connection:
        producer: Any = Producer(connection)  # type: ignore[no-untyped-call]
        headers = {"task": task, "id": str(uuid.uuid4()), "lang": "py"}
        producer.publish(([Bomb(made)], {}, {}), serializer="pickle", exchange="", routing_key=QUEUE, headers=headers)
    eventually(lambda: said in platform.parts["worker"].log.read_text(), what="the worker refuses the message")
    assert platform.job(platform.accept(), wait=20)["status"] == "succeeded"
    assert not made.exists()
