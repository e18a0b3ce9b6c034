"""Putting the page together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import results
from benchmarks.report import plots, sections
from benchmarks.report.targets import Figures, verdicts

NAME = "synchronous.md"
# Beside the description of the request path, where there is such a folder.
PROFILE = Path("..") / "architecture" / "profile.md"
SECTIONS: dict[str, Callable[[Figures], list[str]]] = {
    "throughput": sections.throughput, "slow_neighbour": sections.slow_neighbour, "overload": sections.overload,
    "memory": sections.memory, "restart": sections.restart, "pieces": sections.pieces,
}  # fmt: skip
PLOTS: dict[str, Callable[[Figures, Path], None]] = {
    "throughput": plots.throughput, "overload": plots.overload, "memory": plots.memory,
}  # fmt: skip
BUSY = 1.0


def write(measured: Path, folder: Path) -> Path:
    """Write the page and its drawings from what stands in the folder of results.

    Returns:
        The page.

    Raises:
        FileNotFoundError: nothing was measured yet.
    """
    found = {name: kept for name in SECTIONS if (kept := results.read(measured, name)) is not None}
    if not found:
        raise FileNotFoundError(f"no figures in {measured}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        if name in found:
            draw(found[name]["figures"], folder / f"synchronous-{name}.svg")
    page = folder / NAME
    page.write_text(text(found), encoding="utf-8")
    if "pieces" in found and (folder / PROFILE).parent.is_dir():
        (folder / PROFILE).write_text(profile(found["pieces"]), encoding="utf-8")
    return page


def profile(measured: dict[str, Any]) -> str:
    """The page of the profile alone, for readers of the architecture."""
    where = measured["circumstances"]["machine"]
    lines = [*sections.pieces(measured["figures"]), f"{where}. Written by `make bench`."]
    return "\n".join(["# The profile of one prediction", *lines[1:]]).replace("(../architecture/", "(") + "\n"


def text(found: dict[str, dict[str, Any]]) -> str:
    """The page; `found` are circumstances and figures by scenario."""
    figures = {name: each["figures"] for name, each in found.items()}
    lines = [
        "# Synchronous prediction, measured",
        "",
        *_warnings(found),
        (
            "Written by `make bench`, which measures everything on this page: authentication, metrics, request ids, "
            "strict JSON, admission and records are on, and settings are as shipped. Ratios are medians of the rounds' "
            "own ratios (lowest to highest in brackets): the subjects take turns within a round, so that what disturbs "
            "one disturbs what it is compared with."
        ),
        "",
        "| What | Target | Measured | Kept |",
        "| --- | --- | --- | --- |",
        *(verdict.row() for verdict in verdicts(figures)),
        "",
    ]
    for name, section in SECTIONS.items():
        if name in found:
            lines += section(figures[name])
    return "\n".join([*lines, *_circumstances(found)]) + "\n"


def _warnings(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    if any(each["circumstances"]["quick"] for each in found.values()):
        lines += ["**Quick: this was to try the machinery. The figures mean nothing.**", ""]
    busy = [name for name, each in found.items() if each["circumstances"]["load_before"] > BUSY]
    if busy:
        lines += [f"**Other work ran on the machine at the same time** (before: {', '.join(busy)}).", ""]
    return lines


def _circumstances(found: dict[str, dict[str, Any]]) -> list[str]:
    first = next(iter(found.values()))["circumstances"]
    libraries = ", ".join(f"{name} {version}" for name, version in first["libraries"].items())
    rows = [_row(name, each["circumstances"]) for name, each in found.items()]
    return [
        "## Where and how",
        "",
        (
            f"Throughput and peaks are measured with {first['generator']}; open loops, health checks and restarts with "
            f"the asyncio generators in `benchmarks/load`. {libraries}."
        ),
        "",
        "| Part | Machine | Rounds | Seconds each | Load average before |",
        "| --- | --- | ---: | ---: | ---: |",
        *rows,
    ]


def _row(name: str, circumstances: dict[str, Any]) -> str:
    return (
        f"| {name} | {circumstances['machine']} | {circumstances['rounds']} | {circumstances['seconds']:g} | "
        f"{circumstances['load_before']:.1f} |"
    )
