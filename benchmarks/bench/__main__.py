"""`python -m benchmarks.bench`: measure the chosen scenarios, keep their figures, write the report from all."""

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.bench import ROOT, results
from benchmarks.bench.cores import LOAD, pinned
from benchmarks.bench.results import Options
from benchmarks.bench.scenarios import memory, overload, restart, slow_neighbour, throughput
from benchmarks.bench.servers_under_test import site
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

SCENARIOS = {
    "throughput": throughput, "slow_neighbour": slow_neighbour, "overload": overload,
    "memory": memory, "restart": restart,
}  # fmt: skip
console = Console()


def main() -> None:
    """Measure and report."""
    given = arguments()
    options = Options(given.rounds, given.seconds, given.minutes, given.quick)
    chosen = [name for name in SCENARIOS if name in given.only.split(",")]
    if chosen:
        measured(chosen, options, given.results)


def measured(chosen: list[str], options: Options, folder: Path) -> None:
    """Run scenarios over one site, and keep what they found."""
    names = {model for name in chosen for model in SCENARIOS[name].MODELS}
    columns = (TextColumn("{task.fields[scenario]:>15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="aip-bench-") as place, pinned(LOAD):
        with console.status("starting PostgreSQL and Valkey, publishing " + ", ".join(sorted(names))):
            stage = site(Path(place), names)
            here = stage.__enter__()
        try:
            for name in chosen:
                loaded = os.getloadavg()[0]
                with Progress(*columns, console=console) as progress:
                    task = progress.add_task("", total=SCENARIOS[name].steps(options), scenario=name)

                    def advance(what: str, progress: Progress = progress, task: TaskID = task) -> None:
                        progress.update(task, description=what, advance=1)

                    figures = SCENARIOS[name].run(here, options, advance)
                results.write(folder, name, options, figures, loaded)
        finally:
            stage.__exit__(None, None, None)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", default=",".join(SCENARIOS), help="scenarios, with commas between them; `report` for none"
    )
    parser.add_argument("--rounds", type=int, help="of which medians are taken (5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (4)")
    parser.add_argument("--minutes", type=float, default=memory.MINUTES, help="of the watch over memory (10)")
    parser.add_argument(
        "--quick", action="store_true", help="as short as can be: tries the machinery, measures nothing"
    )
    parser.add_argument("--results", type=Path, help="folder of the figures (build/bench; a temporary one if quick)")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.seconds = given.seconds or (0.3 if given.quick else 4.0)
    quick_place = Path(tempfile.gettempdir()) / "ai-platform-bench"
    given.results = given.results or (quick_place if given.quick else ROOT / "build" / "bench")
    return given


if __name__ == "__main__":
    main()
