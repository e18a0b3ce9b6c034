"""`api`, `worker`, `sweeper`, `migrate`: each part alone, as `up` and containers run them."""

import os
import signal
import threading
from typing import Annotated

import typer
from rich.console import Console

from ai_platform import failpoints
from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for

console = Console(highlight=False)


@app.command()
def api(
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    api_processes: Annotated[
        int | None, typer.Option(help="Processes on that port, each with its own models.", min=1, max=256)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the HTTP service alone."""
    _compute_with_one_thread_a_call()
    # A shell that starts `up` in the background has SIGINT ignored, by which `up` ends this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = settings_for(data_dir)
    given = {"port": port, "host": host, "processes": api_processes}
    changed = settings.api.model_copy(update={name: value for name, value in given.items() if value is not None})
    if changed.processes > 1:
        from ai_platform.api.shared_metrics import share

        share()  # before anything below makes its metrics
    from ai_platform.api.server.serve import run

    run(settings.model_copy(update={"api": changed}))


@app.command()
def worker(
    *,
    with_sweeper: Annotated[
        bool, typer.Option("--with-sweeper", help="Run a sweeper beside it, and keep both running.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run the Celery worker (a sweeper must run beside it on the same machine)."""
    _compute_with_one_thread_a_call()
    settings = settings_for(data_dir)
    if with_sweeper:
        from ai_platform.local.worker_pair import run_pair

        run_pair(settings)
    else:
        from ai_platform.worker.app import run

        run(settings)


@app.command()
def sweeper(data_dir: DataDir = None) -> None:
    """Run the sweeper alone: it sends heartbeats for the workers of this machine and rescues what was lost."""
    from ai_platform.jobs.sweeper import Sweeper
    from ai_platform.predictions.log.retention import LogRetention
    from ai_platform.storage.postgres import Database
    from ai_platform.storage.redis import Redis
    from ai_platform.telemetry import configure_logging

    settings = settings_for(data_dir)
    configure_logging(settings.log, "sweeper")
    failpoints.configure(settings.failpoints_dir)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    retention = LogRetention(settings.prediction_log.keep_days)
    Sweeper(Database.of(settings), Redis.of(settings), settings.jobs, retention).run(stop)


@app.command()
def migrate(
    *,
    with_model: Annotated[
        bool, typer.Option("--with-model", help="Then train and publish the example, unless a model is published.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Bring the database to the newest schema, and take on the key of AI_PLATFORM_ADMIN_KEY_FILE if it is set."""
    from ai_platform.cli.keys import ensure_admin_key
    from ai_platform.storage.postgres import Database
    from ai_platform.storage.schema import migrate as bring

    settings = settings_for(data_dir)
    before, after = bring(Database.of(settings))
    console.print(f"schema {after}: nothing to do" if before == after else f"schema {before or 'empty'} → {after}")
    ensure_admin_key(settings)
    if with_model:
        from ai_platform.cli.train import train_if_missing

        train_if_missing(settings)


def _compute_with_one_thread_a_call() -> None:
    """Keep numerical libraries from starting a thread a core for each call; they read this when they are imported.

    The platform has as many processes and threads as there are cores. A call that starts as many again makes each wait
    for the others: on a busy machine a boosted model was seen to take a hundred times as long.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
