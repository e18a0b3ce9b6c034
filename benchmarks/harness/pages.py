"""The pages: made from the figures of the scenarios that were measured, and from nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import results
from benchmarks.harness.figures import failed, table
from benchmarks.harness.scenario import Scenario

BUSY = 1.0
# Of pages with several scenarios; what stands first on them is `text/PAGE.txt`.
TITLES = {"synchronous": "Synchronous prediction, measured"}
TEXT = Path(__file__).parents[1] / "text"
Measured = dict[str, Any]


def write(scenarios: Sequence[Scenario], data: Path, folder: Path) -> list[Path]:
    """Write every page, and every drawing, that there are figures for.

    Raises:
        FileNotFoundError: there are none.
    """
    found = {one.name: kept for one in scenarios if (kept := results.read(data, one.name)) is not None}
    if not found:
        raise FileNotFoundError(f"no figures in {data}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for page in dict.fromkeys(one.page for one in scenarios if one.name in found):
        here = [one for one in scenarios if one.page == page and one.name in found]
        for one in here:
            if one.draw is not None:
                one.draw(found[one.name]["figures"]).savefig(
                    folder / f"{page}-{one.name}.svg", format="svg", metadata={"Date": None}
                )
        (folder / f"{page}.md").write_text(text(page, here, found), encoding="utf-8")
        written.append(folder / f"{page}.md")
    return written


def text(page: str, scenarios: Sequence[Scenario], found: dict[str, Measured]) -> str:
    """A page of these scenarios, with `found` circumstances and figures by name."""
    lines = [f"# {TITLES.get(page) or scenarios[0].title}\n\n", _warnings(found, scenarios)]
    lines += [(TEXT / f"{page}.txt").read_text(encoding="utf-8")] if page in TITLES else []
    rows = [target.row(found[one.name]["figures"]) for one in scenarios for target in one.targets]
    lines += [table("What | Target | Measured | Kept", rows, words=(0, 1, 2, 3))] if rows else []
    for one in scenarios:
        figures = found[one.name]["figures"]
        lines.append(f"## {one.title}\n\n" if page in TITLES else "")
        shown = {**figures, "failed": failed(figures.get("failures", {})), **one.write(figures)}
        lines.append((TEXT / f"{one.name}.txt").read_text(encoding="utf-8").format(**shown))
        lines.append(f"![{one.title}]({page}-{one.name}.svg)\n\n" if one.draw else "")
    return "".join([*lines, _circumstances(scenarios, found)])


def _warnings(found: dict[str, Measured], scenarios: Sequence[Scenario]) -> str:
    text = ""
    if any(found[one.name]["circumstances"]["quick"] for one in scenarios):
        text += "**Quick: this was to try the machinery. The figures mean nothing.**\n\n"
    busy = [one.name for one in scenarios if (found[one.name]["circumstances"]["load_before"] or 0) > BUSY]
    if busy:
        text += f"**Other work ran on the machine at the same time** (before: {', '.join(busy)}).\n\n"
    return text


def _circumstances(scenarios: Sequence[Scenario], found: dict[str, Measured]) -> str:
    rows = []
    for one in scenarios:
        at = found[one.name]["circumstances"]
        seconds, loaded = ("" if at[name] is None else f"{at[name]:g}" for name in ("seconds", "load_before"))
        rows.append([one.name, at["date"], at["commit"], at["machine"], at["rounds"], seconds, loaded])
    first, here = found[scenarios[0].name]["circumstances"], scenarios[0]
    libraries = ", ".join(f"{name} {version}" for name, version in first["libraries"].items())
    return (
        "## Where and how\n\n"
        + table(
            "Part | Date | Commit | Machine | Rounds | Seconds each | Load average before", rows, words=(0, 1, 2, 3)
        )
        + (f"Closed loops by {first['closed_loop']}, open ones by `benchmarks/load/open_loop.py`. " if here.wrk else "")
        + (f"{libraries}. " if libraries else "")
        + f"Measure yours: `python -m benchmarks {here.page if here.page in TITLES else here.name}`.\n"
    )
