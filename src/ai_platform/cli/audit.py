"""`audit`: who did what to models, keys and settings."""

import json
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for


@app.command()
def audit(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most entries.")] = 50,
    subject: Annotated[str | None, typer.Option(help="Only about this (`key`, `key/ID`, a model).")] = None,
    before: Annotated[int | None, typer.Option(help="Only entries with a smaller id, for the following page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show the newest entries of the audit log."""
    from ai_platform.storage.audit import entries
    from ai_platform.storage.postgres import Database

    with Database.of(settings_for(data_dir)).connect("audit") as connection:
        found = entries(connection, limit=limit, before=before, subject=subject)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    table = Table("id", "at", "who", "what", "to what", "outcome", "detail", box=None, header_style="bold")
    for entry in found:
        detail = ", ".join(f"{name}={value}" for name, value in entry.detail.items() if value is not None)
        row = (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.action, entry.subject, entry.outcome, detail)
        table.add_row(str(entry.id), *row)
    Console().print(table if found else "nothing was done yet")
