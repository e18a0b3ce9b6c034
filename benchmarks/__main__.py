"""Measure scenarios, keep their figures as JSON, and write the pages from all figures that there are."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich.console import Console

from benchmarks import ROOT
from benchmarks.harness import pages, results
from benchmarks.harness.cores import ALL, LOAD, pinned
from benchmarks.harness.scenario import DURABLE, Bench, Scenario
from benchmarks.harness.site import Site, site
from benchmarks.load import wrk
from benchmarks.scenarios import SCENARIOS

PAGES = "pages"
console = Console()


def main() -> None:
    """Measure and write."""
    given = arguments()
    chosen = [one for one in SCENARIOS if {one.name, one.page} & set(given.names)]
    for name, group in groupby(sorted(chosen, key=lambda one: one.servers), key=lambda one: one.servers):
        measure(name, list(group), given)
    for page in pages.write(SCENARIOS, given.to / "data", given.to):
        console.print(f"written: {page}", soft_wrap=True)


def measure(servers: str, chosen: list[Scenario], given: argparse.Namespace) -> None:
    """Run scenarios over the same servers, and keep what each found as soon as it has."""
    # Jobs are drained by as many processes as there are cores to share; a prediction has one, and the rest the other.
    cores = ALL if servers == DURABLE else LOAD
    with tempfile.TemporaryDirectory(prefix="aip-bench-") as place, pinned(cores), contextlib.ExitStack() as stack:
        folder = Path(place)
        running = stack.enter_context(started(servers, chosen, folder))
        for one in chosen:
            loaded = os.getloadavg()[0]
            options = one.options(given.rounds, given.seconds, given.minutes, quick=given.quick)
            with console.status(one.name) as status:
                figures = one.run(Bench(options, folder, lambda what: status.update(what), running))
            results.write(given.to / "data", one.name, options, figures, loaded)
            console.print(f"measured: {one.name}")


@contextlib.contextmanager
def started(servers: str, chosen: list[Scenario], folder: Path) -> Iterator[Site | None]:
    """What these scenarios need: nothing, or servers with all their models."""
    if not servers:
        yield None
        return
    names = {model for one in chosen for model in one.models}
    console.print(f"starting PostgreSQL and Valkey, publishing {', '.join(sorted(names))}")
    with site(folder, names, durable=servers == DURABLE) as running:
        yield running


def arguments() -> argparse.Namespace:
    """What was asked for.

    Raises:
        SystemExit: it cannot be done here.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [*dict.fromkeys(name for one in SCENARIOS for name in (one.page, one.name)), PAGES]
    parser.add_argument("names", nargs="+", choices=known, metavar="NAME", help=f"some of {', '.join(known)}; "
                        f"`{PAGES}` writes all pages anew and measures nothing")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="of which medians are taken (most often 5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (most often 4)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the watch over memory (10)")
    parser.add_argument("--quick", action="store_true", help="as short as can be: tries the machinery, tells nothing")
    parser.add_argument("--to", type=Path, help="folder of the pages, with the figures in `data` (docs/benchmarks; a "
                        "temporary one if quick)")  # fmt: skip
    given = parser.parse_args()
    if given.to is None:
        given.to = Path(tempfile.mkdtemp(prefix="aip-bench-")) if given.quick else ROOT / "docs" / "benchmarks"
    closed = [one.name for one in SCENARIOS if one.wrk and {one.name, one.page} & set(given.names)]
    if closed and not given.quick and not wrk.is_installed():
        raise SystemExit(wrk.HOW_TO_INSTALL)
    return given


if __name__ == "__main__":
    main()
