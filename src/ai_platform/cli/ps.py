"""`ai-platform ps`: which processes of the platform run."""

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import typer
from rich.console import Console
from rich.table import Table

from ai_platform import settings as configuration
from ai_platform.cli.app import app
from ai_platform.errors import StackError
from ai_platform.processes.status import Entry, read_status

SHOWN = ("role", "pid", "state", "restarts", "processes", "url")


@app.command()
def ps(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list; its URLs hold passwords.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data folder of the platform; AI_PLATFORM_DATA_DIR, or ./.ai-platform.")
    ] = None,
) -> None:
    """List the processes that `ai-platform up` keeps running."""
    folder = (data_dir or configuration.load().data_dir).absolute()
    entries = read_status(folder)
    if as_json:
        typer.echo(json.dumps([_shown(entry) for entry in entries], indent=2))
    elif entries:
        Console().print(_table(entries))
    else:
        raise StackError(f"nothing runs on the data folder {folder}; start it with `ai-platform up`")


def masked(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


def _shown(entry: Entry) -> dict[str, Any]:
    """What stands in its row; `processes` are it and all that it has started, for `up` itself alone."""
    return {name: _processes(entry) if name == "processes" else getattr(entry, name) for name in SHOWN}


def _processes(entry: Entry) -> int:
    process = entry.process
    if process is None:
        return 0
    try:
        return 1 if entry.role == "up" else 1 + len(process.children(recursive=True))
    except psutil.Error:
        return 0


def _table(entries: list[Entry]) -> Table:
    table = Table(*SHOWN[:-1], box=None, header_style="bold")
    table.add_column(SHOWN[-1], overflow="fold")
    for entry in entries:
        url = masked(entry.url) if entry.url is not None else ""
        count = str(_processes(entry))
        table.add_row(entry.role, str(entry.pid or "-"), entry.state, str(entry.restarts), count, url)
    return table
