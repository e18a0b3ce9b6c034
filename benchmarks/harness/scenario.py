"""What a scenario is: how it is measured, and how its figures are written and drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness.site import Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = dict[str, Any]
QUICK_SECONDS = 0.3


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
class Verdict:
    """A target beside what was measured.

    Attributes:
        what: is asked.
        target: in words.
        measured: in words.
        kept: whether it was.
    """

    what: str
    target: str
    measured: str
    kept: bool


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

    def in_turn(self, names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Rounds in which each has its turn; nobody's first place is always the same one's."""
        for number in range(self.options.rounds):
            first = number * 3 % len(names)
            for name in [*names[first:], *names[:first]]:
                self.begins(f"round {number + 1}: {name}")
                yield number, name


@dataclass(frozen=True, slots=True)
class Scenario:
    """One subject that is measured.

    Attributes:
        name: on the command line, and of the file with its figures.
        title: of its page or, where several share one, of its part.
        run: measures, and gives figures that JSON can hold.
        write: Markdown of these figures, with an empty line at its end.
        page: the page's name without its ending.
        models: which are published before.
        servers: scenarios with the same word share servers; `durable` ones commit synchronously; empty for none.
        rounds: if the command line says nothing.
        seconds: if the command line says nothing.
        wrk: whether it has closed loops.
        judge: targets beside these figures.
        draw: the drawing of these figures, `PAGE-NAME.svg`.
    """

    name: str
    title: str
    run: Callable[[Bench], Figures]
    write: Callable[[Figures], str]
    page: str
    models: tuple[str, ...] = ("iris",)
    servers: str = "shared"
    rounds: int = 5
    seconds: float = 4.0
    wrk: bool = True
    judge: Callable[[Figures], list[Verdict]] | None = None
    draw: "Callable[[Figures], Figure] | None" = None

    def options(self, rounds: int | None, seconds: float | None, minutes: float, *, quick: bool) -> Options:
        """What was asked for, or what is usual."""
        usual = (1, QUICK_SECONDS) if quick else (self.rounds, self.seconds)
        return Options(rounds or usual[0], seconds or usual[1], minutes, quick)
