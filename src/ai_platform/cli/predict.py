"""`predict`: a file of rows through a running platform, with a bar, into a table or a file."""

import csv
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ai_platform.cli.app import app
from ai_platform.cli.connections import settings_for
from ai_platform.cli.parts import DataDir
from ai_platform.errors import PlatformError
from ai_platform.local.status import running_urls

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

CHUNK_ROWS = 500
SHOWN_ROWS = 20
ANSWER_SECONDS = 60
# How long a platform that is busy, or still loads the model, is asked again.
BUSY_SECONDS = 20.0
# Of columns whose type nobody may tell: what looks like a number is one.
GUESS = "number"


class PredictionRefused(PlatformError):
    """The platform answered with problem details; the detail says what it said."""

    code = "prediction_refused"


class PredictionForbidden(PredictionRefused):
    """The key does not give the right to ask this."""


class PredictionBusy(PredictionRefused):
    """The platform cannot answer now.

    Attributes:
        seconds: after which it asked to be asked again.
    """

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    file: Annotated[Path, typer.Option("--file", help="Rows as CSV with a line of names.", exists=True)],
    *,
    output: Annotated[Path | None, typer.Option(help="Write a CSV with the predictions beside the rows.")] = None,
    url: Annotated[str | None, typer.Option(help="The platform's address; by default the one that runs here.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="AIP_API_KEY", help="An API key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Predict every row of a file."""
    settings = settings_for(data_dir)
    address = (url or running_urls(settings.data_dir).get("api") or f"http://127.0.0.1:{settings.api.port}").rstrip("/")
    caller = _Caller(address, api_key)
    types = caller.types(name)
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    results = list(_predicted(caller, name, types, rows))
    if output is not None:
        _write(output, rows, results)
        console.print(f"written: {output}, {len(rows)} rows")
    elif as_json:
        for result in results:
            typer.echo(json.dumps(result))
    else:
        console.print(_table(name, rows, results))


class _Caller:
    """One platform over HTTP.

    Args:
        address: where it is.
        api_key: sent as a bearer token, if there is one.
    """

    def __init__(self, address: str, api_key: str | None) -> None:
        self._address = address
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def types(self, name: str) -> dict[str, str]:
        """Type of each input of what `production` names; none where the key may predict and not read models."""
        try:
            return self._types(name)
        except PredictionForbidden:
            return {}

    def _types(self, name: str) -> dict[str, str]:
        named = {alias["name"]: alias for alias in self.call("GET", f"/models/{name}/aliases")["aliases"]}
        if "production" not in named:
            raise PredictionRefused(f"production of model {name!r} names no version; promote one")
        version = named["production"]["targets"][0]["version"]
        inputs = self.call("GET", f"/models/{name}/versions/{version}")["inputs"]
        return {feature["name"]: feature.get("type", "number") for feature in inputs}

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One request; one that is asked to come again in a moment (503) does so, for a while.

        Raises:
            PredictionForbidden: the key does not give the right.
            PredictionRefused: the answer is no success, or there is none.
        """
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._call(method, path, body)
            except PredictionBusy as busy:
                if time.monotonic() + busy.seconds > give_up:
                    raise
                time.sleep(busy.seconds)

    def _call(self, method: str, path: str, body: object) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, self._headers, method=method)  # noqa: S310  # the user's own address
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as refusal:
            raise _refused(refusal) from None
        except OSError as error:
            raise PredictionRefused(f"{self._address} does not answer ({error}); is the platform up?") from None


def _refused(refusal: urllib.error.HTTPError) -> PredictionRefused:
    sentence = _sentence(refusal)
    if refusal.code == HTTPStatus.SERVICE_UNAVAILABLE:
        again = refusal.headers.get("Retry-After", "1")
        return PredictionBusy(sentence, float(again) if again.isdigit() else 1.0)
    return PredictionForbidden(sentence) if refusal.code == HTTPStatus.FORBIDDEN else PredictionRefused(sentence)


def _sentence(refusal: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(refusal)
    except ValueError:
        return f"the platform answered {refusal.code}"
    faults = "; ".join(f"{fault.get('pointer', '')} {fault['detail']}" for fault in problem.get("errors", [])[:5])
    return f"{problem.get('detail', refusal.code)}" + (f": {faults}" if faults else "")


def _predicted(
    caller: _Caller, name: str, types: dict[str, str], rows: list[dict[str, str]]
) -> Iterator[dict[str, Any]]:
    with Progress(console=errors, transient=True) as progress:
        bar = progress.add_task(f"predicting with {name}", total=len(rows))
        given = iter(rows)
        while chunk := list(islice(given, CHUNK_ROWS)):
            columns = types or dict.fromkeys(chunk[0], GUESS)
            instances = [
                {name: _value(row[name], kind) for name, kind in columns.items() if row.get(name) is not None}
                for row in chunk
            ]
            answer = caller.call("POST", f"/models/{name}/predict", {"instances": instances})
            yield from _by_row(answer, len(chunk))
            progress.advance(bar, len(chunk))


def _by_row(answer: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """The answer's columns as one object a row; a probability is named by its class."""
    classes = answer.get("classes", [])
    for number in range(count):
        one: dict[str, Any] = {"prediction": answer["predictions"][number]}
        if "labels" in answer:
            one["label"] = answer["labels"][number]
        if "probabilities" in answer:
            one |= {f"p_{name}": value for name, value in zip(classes, answer["probabilities"][number], strict=True)}
        yield {**one, "version": answer["version"]}


def _value(cell: str, kind: str) -> Any:
    """A cell as the model's input wants it; what is no number is sent as it stands, for the platform to refuse."""
    if cell == "":
        return None
    try:
        if kind == "integer":
            return int(cell)
        if kind == "number":
            return float(cell)
    except ValueError:
        return cell
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower(), cell)
    return cell


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(name: str, rows: list[dict[str, str]], results: list[dict[str, Any]]) -> Table:
    more = f"; the first {SHOWN_ROWS} are shown, --output FILE has all" if len(rows) > SHOWN_ROWS else ""
    shown = list(results[0] if results else ())
    table = Table("row", *shown, title=f"{name}: {len(rows)} rows{more}")
    for number, result in enumerate(results[:SHOWN_ROWS], start=1):
        table.add_row(str(number), *(_shown(result[key]) for key in shown))
    return table


def _write(output: Path, rows: list[dict[str, str]], results: list[dict[str, Any]]) -> None:
    names = [*(rows[0] if rows else ()), *(results[0] if results else ())]
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row, result in zip(rows, results, strict=True):
            writer.writerow({**row, **result})
