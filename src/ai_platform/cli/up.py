"""`ai-platform up`: the whole platform on this machine, until Ctrl-C."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ai_platform import settings as configuration
from ai_platform.cli.app import app


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the API on loopback; AI_PLATFORM_API__PORT, or 8000.", min=1, max=65_535)
    ] = None,
    api_processes: Annotated[
        int | None,
        typer.Option(
            help="Processes of the API on that port, each with its own models; AI_PLATFORM_API__PROCESSES, or 1.",
            min=1,
            max=256,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of everything it keeps; AI_PLATFORM_DATA_DIR, or ./.ai-platform.")
    ] = None,
) -> None:
    """Start PostgreSQL, Valkey, the API, the worker and the sweeper, and keep them running until Ctrl-C.

    AI_PLATFORM_DATABASE_URL and AI_PLATFORM_REDIS_URL name servers that exist already; those are not started then.
    """
    from ai_platform.local.stack import run_stack
    from ai_platform.processes.output import Output

    settings = configuration.load(**({} if data_dir is None else {"data_dir": data_dir}))
    if "auth" not in settings.model_fields_set:  # a trial on this machine; told otherwise, it asks for keys
        settings = settings.model_copy(update={"auth": "off"})
    given = {name: value for name, value in (("port", port), ("processes", api_processes)) if value is not None}
    settings = settings.model_copy(update={"api": settings.api.model_copy(update=given)})
    run_stack(settings, Output(sys.stdout.fileno(), colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
