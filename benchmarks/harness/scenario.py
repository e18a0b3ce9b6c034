"""What a scenario is: how it is measured, and how its figures are written and drawn."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import plots
from benchmarks.harness.figures import Spread, shown
from benchmarks.harness.site import Site
from benchmarks.load.generators import measured
from benchmarks.load.plan import Plan

Figures = dict[str, Any]
QUICK_SECONDS = 0.3
DURABLE = "durable"


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured.

    Attributes:
        rounds: of which medians are taken.
        seconds: of each measurement.
        minutes: of the watch over memory.
        quick: whether everything is as short as it can be, so that only the machinery is tried.
    """

    rounds: int
    seconds: float
    minutes: float = 10.0
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a scenario promises.

    Attributes:
        what: is asked.
        target: in words.
        measured: the figure, or the spread, of which the median counts; None where nothing was measured.
        at_least: bound of what keeps it.
        at_most: the other bound.
        unit: of the figure, with its blank.
    """

    what: str
    target: str
    measured: Callable[[Figures], float | Spread | None]
    at_least: float = -math.inf
    at_most: float = math.inf
    unit: str = ""

    def row(self, figures: Figures) -> list[str]:
        """Its line on the page, with what was measured and whether that keeps it."""
        found = self.measured(figures)
        value = found["median"] if isinstance(found, dict) else found
        kept = value is not None and self.at_least <= value <= self.at_most
        return [self.what, self.target, shown(found, self.unit) or "nothing", "yes" if kept else "**no**"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a scenario measures with.

    Attributes:
        options: how much.
        folder: for files of this run.
        begins: says what is measured now.
        running: servers with the scenario's models; None if it needs none.
    """

    options: Options
    folder: Path
    begins: Callable[[str], None]
    running: Site | None = None

    @property
    def site(self) -> Site:
        """The servers and models of a scenario that needs them."""
        assert self.running is not None
        return self.running

    def in_turn(self, names: Sequence[str], measure: Callable[[str], Figures]) -> dict[str, list[Figures]]:
        """What each shows round by round; they take turns, and nobody's first place is always the same one's."""
        found: dict[str, list[Figures]] = {name: [] for name in names}
        for number in range(self.options.rounds):
            first = number * 3 % len(names)
            for name in [*names[first:], *names[:first]]:
                self.begins(f"round {number + 1}: {name}")
                found[name].append(measure(name))
        return found

    def warmed(self, plan: Plan) -> Figures:
        """What a closed loop sees of a server that is warm; a quick run does not warm it."""
        if not self.options.quick:
            measured(plan)
        return measured(plan)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One subject that is measured.

    Attributes:
        name: on the command line, and of the file with its figures.
        title: of its page or, where several share one, of its part.
        run: measures, and gives figures that JSON can hold.
        write: what `text/NAME.txt` shows beside the figures themselves: tables, and what is computed of them.
        page: the page's name without its ending.
        models: which are published before.
        servers: scenarios with the same word share servers, DURABLE ones commit synchronously; empty for none.
        rounds: if the command line says nothing.
        seconds: if the command line says nothing.
        wrk: whether it has closed loops.
        targets: what it promises.
        draw: the drawing of these figures, `PAGE-NAME.svg`.
    """

    name: str
    title: str
    run: Callable[[Bench], Figures]
    write: Callable[[Figures], dict[str, Any]]
    page: str
    models: tuple[str, ...] = ("iris",)
    servers: str = "shared"
    rounds: int = 5
    seconds: float = 4.0
    wrk: bool = True
    targets: tuple[Target, ...] = ()
    draw: Callable[[Figures], plots.Drawing] | None = None

    def options(self, rounds: int | None, seconds: float | None, minutes: float, *, quick: bool) -> Options:
        """What was asked for, or what is usual."""
        usual = (1, QUICK_SECONDS) if quick else (self.rounds, self.seconds)
        return Options(rounds or usual[0], seconds or usual[1], minutes, quick)
