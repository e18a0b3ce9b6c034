"""Measure the chosen scenarios, keep their figures, and write the report from all figures that there are."""

import argparse
import os
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import ROOT
from benchmarks.harness import progress, results
from benchmarks.harness.cores import LOAD, pinned
from benchmarks.harness.results import Options
from benchmarks.harness.site import site
from benchmarks.report import page
from benchmarks.scenarios import memory, overload, pieces, restart, slow_neighbour, throughput

SCENARIOS = {
    "throughput": throughput, "slow_neighbour": slow_neighbour, "overload": overload, "memory": memory,
    "restart": restart, "pieces": pieces,
}  # fmt: skip
REPORT = "report"
console = Console()


def main() -> None:
    """Measure and report."""
    given = arguments()
    chosen = [name for name in SCENARIOS if name in given.only]
    if chosen:
        measure(chosen, Options(given.rounds, given.seconds, given.minutes, given.quick), given.results)
    console.print(f"written: {page.write(given.results, given.report)}")


def measure(chosen: list[str], options: Options, folder: Path) -> None:
    """Run scenarios over one site, and keep what each found as soon as it has."""
    names = {model for name in chosen for model in SCENARIOS[name].MODELS}
    with tempfile.TemporaryDirectory(prefix="aip-bench-") as place, pinned(LOAD):
        console.print(f"starting PostgreSQL and Valkey, publishing {', '.join(sorted(names))}")
        with site(Path(place), names) as stage:
            for name in chosen:
                loaded = os.getloadavg()[0]
                with progress.steps(console, name, SCENARIOS[name].steps(options)) as begins:
                    figures = SCENARIOS[name].run(stage, options, begins)
                results.write(folder, name, options, figures, loaded)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    which = f"some of {', '.join(SCENARIOS)}; or `{REPORT}`, which writes the report anew and measures nothing"
    parser.add_argument("--only", type=scenarios, default=list(SCENARIOS), help=which)
    parser.add_argument("--rounds", type=int, help="of which medians are taken (5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (4)")
    parser.add_argument("--minutes", type=float, default=memory.MINUTES, help="of the watch over memory (10)")
    parser.add_argument("--quick", action="store_true", help="as short as can be: tries the machinery, tells nothing")
    parser.add_argument("--results", type=Path, help="folder of the figures (build/bench; a temporary one if quick)")
    parser.add_argument("--report", type=Path, help="folder of the report (docs/benchmarks; a temporary one if quick)")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.seconds = given.seconds or (0.3 if given.quick else 4.0)
    place = Path(tempfile.gettempdir()) / "ai-platform-bench" if given.quick else None
    given.results = given.results or place or ROOT / "build" / "bench"
    given.report = given.report or place or ROOT / "docs" / "benchmarks"
    return given


def scenarios(text: str) -> list[str]:
    """The scenarios that a text names.

    Raises:
        ArgumentTypeError: one is not known.
    """
    names = [name for name in text.split(",") if name]
    strange = [name for name in names if name not in {*SCENARIOS, REPORT}]
    if strange:
        raise argparse.ArgumentTypeError(f"no such scenario: {', '.join(strange)}")
    return names


if __name__ == "__main__":
    main()
