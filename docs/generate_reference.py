"""Writes docs/reference from the code: `make docs`. A test compares what stands there with what this would write."""  # noqa: INP001

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ai_platform import errors, settings, telemetry
from ai_platform.api.app import create
from ai_platform.codecs.problem_details import CONTENT_TYPE, PROBLEMS
from ai_platform.errors import PlatformError

FOLDER = Path(__file__).with_name("reference")
NOTE = "<!-- Written by `make docs` from the code; edit the code. -->"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "README.md": _index(),
        "settings.md": _settings(),
        "metrics.md": _metrics(),
        "errors.md": _errors(),
        "routes.md": _routes(),
    }


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _index() -> str:
    return _page(
        "Reference",
        "Generated from the code, so that it cannot fall behind it.",
        "- [Routes](routes.md): every HTTP path, its parameters and answers\n"
        "- [Settings](settings.md): every `AI_PLATFORM_*` variable\n"
        "- [Errors](errors.md): every `code` of a problem, with its status\n"
        "- [Metrics](metrics.md): everything that `GET /metrics` tells",
    )


def _settings() -> str:
    parts = [_settings_table(_fields(settings.Settings, settings.PREFIX))]
    for name, field in settings.Settings.model_fields.items():
        group = _group(field)
        if group is not None:
            prefix = f"{settings.PREFIX}{name.upper()}__"
            parts.append(f"## {name}\n\n{_first_line(group)}\n\n{_settings_table(_fields(group, prefix))}")
    secrets = ", ".join(f"`{settings.PREFIX}{name.upper()}_FILE`" for name in settings.SECRETS)
    return _page(
        "Settings",
        "All settings are environment variables. Groups are separated by two underscores: "
        f"`{settings.PREFIX}API__PORT`. An unknown `{settings.PREFIX}*` variable stops the start, and the message "
        "names the nearest one.\n\n"
        f"Each secret can also be given as the path of a file that holds it: {secrets}.",
        *parts,
    )


def _fields(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        if _group(field) is None:
            yield prefix + name.upper(), field


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _settings_table(fields: Iterable[tuple[str, FieldInfo]]) -> str:
    known = settings.variables()
    return _table(
        ("Variable", "Default", "What it is"),
        [(f"`{name}`", _default(field), known[name]) for name, field in fields],
    )


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "depends on the machine"
    if field.default is None:
        return "none"
    value = field.default
    return f"`{value if isinstance(value, str | Path) else json.dumps(value)}`"


def _metrics() -> str:
    found = [metric for metric in vars(telemetry).values() if isinstance(metric, MetricWrapperBase)]
    rows = []
    for metric in found:
        for told in metric.describe():
            name = f"{told.name}_total" if told.type == "counter" else told.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"  # noqa: SLF001  # no public way
            rows.append((f"`{name}`", told.type, labels, told.documentation))
    return _page(
        "Metrics",
        "`GET /metrics` answers in Prometheus' text format with the metrics of the API process that was asked, or "
        "of all that share its port (`--api-processes`); those of the queue come from PostgreSQL. prometheus-client's "
        "own metrics of a process (`process_*`, `python_*`) stand there too while there is one. "
        "[Monitor](../operations/monitor.md) says which of them to watch.",
        _table(("Metric", "Type", "Labels", "What it tells"), rows),
    )


def _errors() -> str:
    facts = {kind.code: kind for kind in _kinds(PlatformError)}
    http = [
        (f"`{code}`", str(status), title, "An error of the server." if code == "internal" else _first_line(facts[code]))
        for code, (status, title) in PROBLEMS.items()
    ]
    others = [(f"`{code}`", _first_line(kind)) for code, kind in facts.items() if code not in PROBLEMS]
    return _page(
        "Errors",
        "Every refusal over HTTP is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, "
        "`code` and `request_id`; an invalid input adds `errors`, each with a JSON pointer into the body and a "
        "`detail`. Decide by `code`: it is stable. Every 503 of this table carries `Retry-After`.",
        _table(("Code", "Status", "Title", "When"), http),
        "## Not over HTTP\n\nThese stop a command, with one sentence and exit status 1, or stand in a log.\n\n"
        + _table(("Code", "When"), others),
    )


def _kinds(kind: type[PlatformError]) -> Iterator[type[PlatformError]]:
    yield kind
    for name in vars(errors).values():
        if inspect.isclass(name) and issubclass(name, kind) and name is not kind:
            yield name


def _routes() -> str:
    document = create(
        settings.load(database_url="postgresql://nowhere/none", redis_url="redis://nowhere")
    ).routes.openapi()
    parts = [
        f"## {method.upper()} {path}\n\n{_operation(operation)}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return _page(
        "Routes",
        "From the OpenAPI document, which a running platform serves at `/openapi.json`, and as a page with examples "
        "that run at `/docs`. `POST /predict` and `POST /predict/` are the same. A synchronous prediction that is "
        "sent with `Prefer: respond-async` is answered like an asynchronous one. Any request can also be refused "
        "with 400, 405, 408, 414, 417 or 431; [Errors](errors.md) has every code.",
        *parts,
    )


def _operation(operation: dict[str, Any]) -> str:
    needed = operation.get("x-scope")
    key = {None: "no key", "any": "any valid key"}.get(needed, f"the scope `{needed}`")
    told = [f"{operation['summary']}. Asks for {key}."]
    if operation.get("description"):
        told.append(str(operation["description"]).splitlines()[0])
    parameters = [
        (f"`{given['name']}`", given["in"], given.get("description", "")) for given in operation.get("parameters", [])
    ]
    if parameters:
        told.append(_table(("Parameter", "In", "What it is"), parameters))
    answers = [(status, answer) for status, answer in sorted(operation["responses"].items())]
    good = [
        (status, answer["description"]) for status, answer in answers if CONTENT_TYPE not in answer.get("content", {})
    ]
    told.append(_table(("Status", "Answer"), good))
    refusals = [status for status, answer in answers if CONTENT_TYPE in answer.get("content", {})]
    if refusals:
        told.append(f"Refused with problem details: {', '.join(refusals)}.")
    return "\n\n".join(told)


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTE, *parts)) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
