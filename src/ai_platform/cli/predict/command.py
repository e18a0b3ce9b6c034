"""`predict`: a file of rows through a running platform, with a bar, into a table or a file."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as ShownTable

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for
from ai_platform.cli.predict.asking import Caller, Described
from ai_platform.cli.predict.columns import Columns, columns_of
from ai_platform.cli.predict.results import OutputRefused, ResultFile
from ai_platform.cli.predict.scoring import Scored, Scoring, Unscored
from ai_platform.errors import InvalidParameter
from ai_platform.processes.status import running_urls
from ai_platform.tables.opening import open_table
from ai_platform.tables.table import Table

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

SHOWN_ROWS = 20
SHOWN_FAULTS = 20
SHOWN_NAMES = 12


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    file: Annotated[
        Path, typer.Option("--file", help="Rows as CSV with a line of names, JSON lines, a JSON array, or Parquet.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option(help="Write the predictions beside the rows: CSV, or JSON lines (.jsonl).")
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(help="The decimal mark of a CSV, a point or a comma; by default the rows show it.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The platform's address; by default the one that runs here.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="AIP_API_KEY", help="An API key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Predict every row of a file; rows that cannot be predicted are named, and then the exit status is 1."""
    if decimal not in {None, ".", ","}:
        raise InvalidParameter("decimal", "--decimal is a point or a comma")
    settings = settings_for(data_dir)
    address = (url or running_urls(settings.data_dir).get("api") or f"http://127.0.0.1:{settings.api.port}").rstrip("/")
    results = None if output is None else _result_file(output, file)
    caller = Caller(address, api_key)
    described = caller.described(name)
    expected = [feature.name for feature in described.inputs] if described else []
    with open_table(file, expected, decimal) as table:
        columns = columns_of(file.name, table.names, described.inputs) if described else None
        _remark(table, columns, described)
        scoring = Scoring(caller, name, described.inputs if described else None, columns.places if columns else [])
        tally = _Tally()
        outcomes = _counted(_with_bar(name, scoring.outcomes(table), table), tally)
        if results is not None:
            _write(results, table, outcomes, tally)
        else:
            _print(name, outcomes, tally, as_json=as_json)
    if tally.faults:
        raise typer.Exit(1)


@dataclass(slots=True)
class _Tally:
    """How many rows had which outcome, and the first faults."""

    scored: int = 0
    faults: int = 0
    shown: list[Unscored] = field(default_factory=list)

    def note(self, one: Scored | Unscored) -> None:
        if isinstance(one, Scored):
            self.scored += 1
            return
        self.faults += 1
        if len(self.shown) < SHOWN_FAULTS:
            self.shown.append(one)

    def say_faults(self, where: str) -> None:
        if not self.faults:
            return
        for one in self.shown:
            _say(f"{one.place}: {one.why}")
        if self.faults > len(self.shown):
            _say(f"… and {self.faults - len(self.shown)} more")
        _say(f"{self.faults} of {self.faults + self.scored} rows were not predicted; {where}")


def _say(sentence: str) -> None:
    errors.print(sentence, markup=False, soft_wrap=True)


def _result_file(output: Path, file: Path) -> ResultFile:
    with contextlib.suppress(OSError):
        if output.samefile(file):
            raise OutputRefused(f"{output} is the file of the rows; write the predictions into another")
    return ResultFile(output)


def _remark(table: Table, columns: Columns | None, described: Described | None) -> None:
    for sentence in [*table.remarks, *(columns.remarks if columns else ())]:
        _say(sentence)
    if columns is None or described is None:
        _say("this key may not read what the model's inputs are, so every column is sent")
    elif columns.ignored:
        more = f" and {len(columns.ignored) - SHOWN_NAMES} more" if len(columns.ignored) > SHOWN_NAMES else ""
        shown = ", ".join(name[:64] for name in columns.ignored[:SHOWN_NAMES])
        _say(f"not read, because they are no inputs of the model: {shown}{more}")


def _with_bar(name: str, outcomes: Iterator[Scored | Unscored], table: Table) -> Iterator[Scored | Unscored]:
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task(f"predicting with {name}", total=table.size)
        for one in outcomes:
            progress.update(bar, completed=table.position())
            yield one


def _counted(outcomes: Iterator[Scored | Unscored], tally: _Tally) -> Iterator[Scored | Unscored]:
    for one in outcomes:
        tally.note(one)
        yield one


def _write(results: ResultFile, table: Table, outcomes: Iterator[Scored | Unscored], tally: _Tally) -> None:
    with results.opened(table.names) as writing:
        for one in outcomes:
            if isinstance(one, Scored):
                writing.write(one)
        place = writing.keep(is_whole=not tally.faults) if tally.scored or not tally.faults else None
    if place is not None and not tally.faults:
        console.print(f"written: {place}, {tally.scored} rows", soft_wrap=True)
    tally.say_faults("nothing is written" if place is None else f"the other {tally.scored} are in {place}")


def _print(name: str, outcomes: Iterator[Scored | Unscored], tally: _Tally, *, as_json: bool) -> None:
    shown: list[tuple[str, dict[str, Any]]] = []
    for one in outcomes:
        if as_json:
            found = one.result if isinstance(one, Scored) else {"row": one.place, "error": one.why}
            typer.echo(orjson.dumps(found).decode())
        elif isinstance(one, Scored) and len(shown) < SHOWN_ROWS:
            shown.append((one.row.place.split()[-1], one.result))
    if not as_json:
        console.print(_table(name, shown, tally.scored))
    tally.say_faults(f"the other {tally.scored} were")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(name: str, shown: list[tuple[str, dict[str, Any]]], count: int) -> ShownTable:
    more = f"; the first {SHOWN_ROWS} are shown, --output FILE has all" if count > SHOWN_ROWS else ""
    names = list(shown[0][1] if shown else ())
    table = ShownTable("line", *names, title=f"{name}: {count} rows{more}")
    for place, result in shown:
        table.add_row(place, *(_shown(result.get(key, "")) for key in names))
    return table
