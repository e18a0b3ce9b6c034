"""What is shown while a scenario runs."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def steps(console: Console, scenario: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar; the function that it gives says what begins now."""
    columns = (TextColumn("{task.fields[scenario]:>15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total, completed=-1, scenario=scenario)
        yield lambda what: progress.update(task, description=what, advance=1)
        progress.update(task, completed=total, description="")
