"""`predictions`: what the models have predicted lately, as far as the prediction log has it."""

import json
from typing import Annotated, Any

import msgspec
import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for
from ai_platform.errors import InvalidParameter

SUMMARY_WIDTH = 48


@app.command()
def predictions(
    *,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only this version's; needs --model.")] = None,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="Most predictions.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, with inputs and outputs.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show the newest predictions of the prediction log, which holds a sample of the synchronous ones."""
    from ai_platform.predictions.log.reading import newest
    from ai_platform.storage.postgres import Database

    if version is not None and model is None:
        raise InvalidParameter("version", "--version needs --model")
    with Database.of(settings_for(data_dir)).connect("predictions") as connection:
        found = newest(connection, limit=last, model=model, version=version)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    table = Table("at", "model", "version", "rows", "ms", "cache", "owner", "prediction", box=None, header_style="bold")
    for one in found:
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S}", one.model, str(one.version), str(one.rows), f"{one.seconds * 1000:.2f}",
            one.cache or "-", one.owner, escape(one.code or _summary(one.output)),
        )  # fmt: skip
    Console().print(table if found else "nothing is logged; AI_PLATFORM_PREDICTION_LOG__SAMPLE says how much is")


def _summary(output: dict[str, Any] | None) -> str:
    """What was predicted, cut to a column's width; the label where there is one."""
    if output is None:
        return "not kept"
    for name in ("label", "prediction", "labels", "predictions"):
        if name in output:
            told = output[name]
            text = told if isinstance(told, str) else orjson.dumps(told).decode()
            return text if len(text) <= SUMMARY_WIDTH else f"{text[:SUMMARY_WIDTH]}…"
    return "-"
