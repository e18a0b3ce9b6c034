"""The notification: a Celery message that carries job ids and nothing else. Losing one costs time, never a job."""

import threading
import uuid
from collections import deque
from collections.abc import Iterable
from itertools import groupby, islice
from typing import Any

from celery import Celery

from ai_platform.settings import WorkerSettings
from ai_platform.storage.redis import KEY_PREFIX, Redis
from ai_platform.telemetry import NOTIFICATIONS, logger

log = logger(__name__)

QUEUE = "predict"
RUN_JOBS = "ai_platform.run_jobs"
# Ids in one message; a worker claims more of what waits by itself, so that messages need not be large.
IDS_PER_NOTIFICATION = 256
# Notifications that wait for a Redis that is slow; beyond it they are dropped, and the sweeper notifies.
MAX_WAITING = 10_000

VersionedId = tuple[str, int, uuid.UUID]


def celery_app(redis: Redis, worker: WorkerSettings | None = None) -> Celery:
    """Celery as this platform uses it: it carries notifications and runs processes, nothing more.

    No result backend, no ETA, no reliance on acknowledgements; the reasons stand in docs/architecture/jobs.md.

    Args:
        redis: which carries the notifications.
        worker: of a worker; None for what only notifies, and gives up a Redis that is away after its short limits.
    """
    app = Celery("ai_platform", broker=redis.url, set_as_current=worker is not None)
    limits = redis.limits
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=QUEUE,
        # The anonymous exchange pushes straight to the list: no binding that a wiped Redis could lose.
        task_default_exchange="",
        task_default_exchange_type="direct",
        task_default_routing_key=QUEUE,
        task_create_missing_queues=True,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_pool="prefork",
        worker_proc_alive_timeout=60,  # a child imports scikit-learn before it says that it lives
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "visibility_timeout": 300,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5 if worker else limits.answer_seconds,
            "socket_connect_timeout": 2 if worker else limits.connect_seconds,
            "socket_keepalive": True,
            "health_check_interval": 10 if worker else 0,
            "retry_on_timeout": False,
            "max_retries": None if worker else 0,
        },
    )
    if worker is not None:
        app.conf.update(worker_concurrency=worker.concurrency, worker_max_tasks_per_child=worker.max_tasks_per_child)
    return app


class Notifier:
    """Notifies from a thread of its own, so that no caller waits for Redis.

    Args:
        redis: which carries the notifications.
    """

    def __init__(self, redis: Redis) -> None:
        self._app = celery_app(redis)
        self._breaker = redis.breaker()
        self._waiting: deque[VersionedId] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._notify_for_ever, name="notifier", daemon=True)

    def start(self) -> None:
        """Begin to notify."""
        self._thread.start()

    def notify(self, ids: Iterable[VersionedId]) -> None:
        """Notify of jobs that were committed; returns at once, and never fails."""
        with self._changed:
            for versioned in ids:
                if len(self._waiting) < MAX_WAITING:
                    self._waiting.append(versioned)
                else:
                    NOTIFICATIONS.labels("dropped").inc()
            self._changed.notify()

    def close(self) -> None:
        """Send what waits, within a second, and stop."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout=1)

    def _notify_for_ever(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if not self._waiting:
                    return
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), IDS_PER_NOTIFICATION))]
            for (model, version), group in groupby(sorted(taken), key=lambda versioned: versioned[:2]):
                self._notify_once([str(job_id) for _, _, job_id in group], model, version)

    def _notify_once(self, ids: list[str], model: str, version: int) -> None:
        if self._breaker.open:
            NOTIFICATIONS.labels("failed").inc()
            return
        try:
            notify(self._app, ids)
        except Exception as error:  # noqa: BLE001  # whatever a broken transport raises: the sweeper notifies again
            self._breaker.trip()
            NOTIFICATIONS.labels("failed").inc()
            log.warning("notification not sent", why=type(error).__name__, jobs=len(ids), model=model, version=version)
        else:
            NOTIFICATIONS.labels("sent").inc()


def notify(app: Celery, ids: list[str]) -> None:
    """Send one notification now.

    Raises:
        Exception: what Celery's transport raises when Redis is away.
    """
    app.send_task(RUN_JOBS, args=(ids,), queue=QUEUE, retry=False, ignore_result=True)


def batches(rows: Iterable[dict[str, Any]], size: int = IDS_PER_NOTIFICATION) -> Iterable[list[str]]:
    """Rows (id, model, version, isolated) as lists of at most `size` ids of one version; lone rows by themselves."""
    ordered = sorted(rows, key=lambda row: (row["isolated"], row["model"], row["version"]))
    for (isolated, _, _), group in groupby(ordered, key=lambda row: (row["isolated"], row["model"], row["version"])):
        ids = iter(str(row["id"]) for row in group)
        while some := list(islice(ids, 1 if isolated else size)):
            yield some
