"""How publishing and `models show` say what becomes of a version in the processes that run."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from ai_platform.settings import Settings

if TYPE_CHECKING:
    from ai_platform.models.registry.serving_reports import Waited


@contextlib.contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show on standard error each step as it begins: one line that changes in a terminal, a line for each elsewhere."""
    shown = Console(stderr=True, highlight=False)
    begun = time.monotonic()
    if not shown.is_terminal:
        yield lambda step: shown.print(f"{time.monotonic() - begun:5.1f} s  {step}")
        return
    with shown.status("") as status:
        yield lambda step: status.update(f"{step} …")


def end_unless_it_answers(console: Console, waited: "Waited | None", settings: Settings) -> None:
    """Say what keeps the version from answering, and end with status 1; what was recorded stands.

    Raises:
        typer.Exit: a process that runs does not serve it.
    """
    if waited is None or waited.answers:
        return
    for why in waited.failures:
        console.print(f"not served: {why}; what was served goes on", style="red")
    if waited.behind:
        console.print(
            f"recorded, but {waited.behind} of {waited.processes} API processes do not answer with it yet, after"
            f" {settings.models.answer_seconds:g} s (AI_PLATFORM_MODELS__ANSWER_SECONDS);"
            " `ai-platform models show` says how it goes on",
            style="red",
        )
    raise typer.Exit(1)


def serving_line(body: dict[str, Any]) -> str:
    """How a version does in the processes that run, as one line."""
    parts = [f"{body[state]} {state}" for state in ("loaded", "loading", "failed") if body[state]]
    line = ", ".join(parts) or "in no process that runs"
    if body["failed_calls"]:
        line += f", {body['failed_calls']} calls failed"
    return line + (f": {body['why']}" if body["why"] else "")
