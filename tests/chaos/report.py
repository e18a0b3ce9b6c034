"""The kept report: what `make chaos`, `chaos-points` and `chaos-long` saw, each with its own date, in docs/chaos.md."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
FRAGMENTS = ROOT / "build" / "chaos"
PAGE = ROOT / "docs" / "chaos.md"
ORDER = ("nemesis", "recovery", "points")

HEAD = """# What the chaos suite saw

{}
"""
INTRODUCTION = (
    "Real processes, killed, stopped, starved and cut off while jobs run, and then a count of what was kept. The tests"
    " are in `tests/chaos`; the promises that they attack are in the [guarantees](guarantees.md). Written by the runs"
    " themselves, the last one of each kind."
)


def wanted() -> bool:
    """Whether this run is one whose figures are kept."""
    return os.environ.get("CHAOS_REPORT") == "1"


def keep(name: str, title: str, lines: Sequence[str]) -> None:
    """Remember one section, and write the page anew."""
    if not wanted():
        return
    FRAGMENTS.mkdir(parents=True, exist_ok=True)
    (FRAGMENTS / f"{name}.json").write_text(json.dumps({"title": title, "lines": [_provenance(), "", *lines]}))
    _write()


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


def seconds(values: Sequence[float]) -> list[str]:
    """p50, p99 and the largest."""
    return [f"{quantile(values, 0.5):.1f} s", f"{quantile(values, 0.99):.1f} s", f"{max(values):.1f} s"]


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _provenance() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}, {psutil.cpu_count()} cores"
        f" ({_processor()}), {memory:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _write() -> None:
    parts = [HEAD.format(INTRODUCTION)]
    for name in ORDER:
        path = FRAGMENTS / f"{name}.json"
        if path.exists():
            kept = json.loads(path.read_text())
            parts.append(f"## {kept['title']}\n\n" + "\n".join(kept["lines"]) + "\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")
