"""`make bench` in its shortest form: no figure is looked at, but every part runs and stands in the report.

A part that needs several API processes or a model in a process of its own runs as well as the platform lets it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = (
    "## Throughput on one core",
    "## A slow neighbour",
    "## Overload",
    "## Memory under load",
    "## Restarts under load",
    "## One prediction, part by part",
    "## Where and how",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures and report of one quick run."""
    place = tmp_path_factory.mktemp("bench")
    run(place, "--quick", "--seconds", "0.3")
    return place


def run(place: Path, *options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--results", str(place), "--report", str(place), *options],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_part_stands_in_the_report(folder: Path) -> None:
    page = (folder / "synchronous.md").read_text(encoding="utf-8")
    assert [section for section in SECTIONS if section not in page] == []
    assert "not measured" not in page


def test_a_quick_report_says_that_it_tells_nothing(folder: Path) -> None:
    assert "**Quick:" in (folder / "synchronous.md").read_text(encoding="utf-8")


def test_the_drawings_that_the_report_shows_are_there(folder: Path) -> None:
    page = (folder / "synchronous.md").read_text(encoding="utf-8")
    shown = [line.split("(")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert len(shown) == 3
    assert [name for name in shown if not (folder / name).read_text(encoding="utf-8").startswith("<?xml")] == []


def test_each_subject_was_answered(folder: Path) -> None:
    subjects = json.loads((folder / "throughput.json").read_text(encoding="utf-8"))["figures"]["subjects"]
    silent = [name for name, each in subjects.items() if not each["rounds"][0]["a_second"]]
    assert silent == []


def test_the_report_is_made_again_from_what_was_measured(folder: Path) -> None:
    before = (folder / "synchronous.md").read_text(encoding="utf-8")
    (folder / "synchronous.md").unlink()
    run(folder, "--only", "report")
    assert (folder / "synchronous.md").read_text(encoding="utf-8") == before
