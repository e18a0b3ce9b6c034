"""Celery's worker process: its children each hold a runner; a task is one line over it."""

import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import worker_process_init
from kombu.connection import Connection
from kombu.transport import redis as transport
from kombu.transport import virtual

from ai_platform import failpoints
from ai_platform.jobs.notifier import QUEUE, RUN_JOBS, celery_app, notify
from ai_platform.processes.parent_death import die_with
from ai_platform.settings import Settings
from ai_platform.storage.redis import Redis
from ai_platform.telemetry import configure_logging, logger

log = logger(__name__)


def build(settings: Settings) -> Celery:
    """The Celery application of a worker, with its task and what each child does when it starts."""
    transport.Channel.QoS = _Credit
    app = celery_app(Redis.of(settings), settings.worker)
    app.amqp.Connection = _Connection
    child = _Child(settings, lambda: notify(app, []))
    worker_process_init.connect(child.start, weak=False)

    @app.task(name=RUN_JOBS)  # type: ignore[untyped-decorator]
    def run_jobs(ids: list[str]) -> None:
        child.run(ids)

    return app


class _Credit(transport.QoS):
    """How many notifications may be taken before one is acknowledged.

    kombu 5.7 keeps the credit of a message whose acknowledgement was lost with its connection, and looks at one
    only while it has credit: a worker that lost as many as it has children would never see that Redis was away, nor
    that it is back. A notification need not be acknowledged, so its credit is given back whatever happens.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except Exception:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise


class _Connection(Connection):
    """Tries again every second; Celery's own pauses grow to 30 s, which would be added to every long outage."""

    def ensure_connection(self, *given: Any, **named: Any) -> Any:
        pauses = {"interval_start": 1, "interval_step": 0}
        return super().ensure_connection(*given, **{**pauses, **named})  # type: ignore[no-untyped-call]


def run(settings: Settings) -> None:
    """Be a worker until SIGTERM: running jobs are finished first."""
    configure_logging(settings.log, "worker")
    # Celery's warning is about pickled messages, which this worker does not accept.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Two lines for each notification say nothing that the jobs' rows do not say.
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    build(settings).worker_main(
        ["--quiet", "worker", "--queues", QUEUE, "--without-gossip", "--without-mingle", "--without-heartbeat",
         "--loglevel", settings.log.level, "-O", "fair", "--hostname", "worker@%h"]
    )  # fmt: skip


class _Child:
    """What one child of the prefork pool holds; connections and models are opened after the fork."""

    def __init__(self, settings: Settings, renotify: Callable[[], None]) -> None:
        self._settings = settings
        self._renotify = renotify
        self._runner: Any = None

    def start(self, **_signal: object) -> None:
        """Prepare this child: it dies with its parent, and has its own connections and models."""
        die_with(os.getppid())
        # After the fork: numerical libraries do not survive one.
        from ai_platform.jobs.runner import JobRunner
        from ai_platform.predictions.catalog.directory import ModelDirectory
        from ai_platform.storage.postgres import Database

        settings = self._settings
        failpoints.configure(settings.failpoints_dir)
        database, redis, directory = Database.of(settings), Redis.of(settings), ModelDirectory.of(settings, "worker")
        self._runner = JobRunner(database, redis, directory, settings.jobs.claim_batch_size, self._renotify)
        self._runner.warm()

    def run(self, ids: list[str]) -> None:
        """Run the jobs of a notification; what goes wrong is logged, and the sweeper notifies again of the rest."""
        try:
            self._runner.run(ids)
        except Exception as error:  # MemoryError too: escaping, it would stop the whole worker
            log.error("notification failed", why=str(error), jobs=len(ids), exc_info=not hasattr(error, "detail"))
