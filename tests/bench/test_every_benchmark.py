"""`make bench` in its shortest form: no figure is looked at, but every part runs and stands on the page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = ("Throughput on one core", "A slow neighbour", "Overload", "Memory under load", "Restarts under load")
PAGES = ("synchronous", "profile", "auth", "job-cost", "zoo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures and pages of one quick run."""
    place = tmp_path_factory.mktemp("bench")
    run(place, *PAGES, "--quick")
    return place


def run(place: Path, *options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--to", str(place)],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_written_and_every_part_stands_on_it(folder: Path) -> None:
    page = (folder / "synchronous.md").read_text(encoding="utf-8")
    assert [part for part in PARTS if f"## {part}\n" not in page] == []
    assert [name for name in PAGES if not (folder / f"{name}.md").exists()] == []


def test_a_quick_page_says_that_it_tells_nothing(folder: Path) -> None:
    assert [name for name in PAGES if "**Quick:" not in (folder / f"{name}.md").read_text(encoding="utf-8")] == []


def test_the_drawings_that_the_page_shows_are_there(folder: Path) -> None:
    page = (folder / "synchronous.md").read_text(encoding="utf-8")
    shown = [line.split("(")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert len(shown) == 3
    assert [name for name in shown if not (folder / name).read_text(encoding="utf-8").startswith("<?xml")] == []


def test_each_subject_was_answered(folder: Path) -> None:
    subjects = json.loads((folder / "data" / "throughput.json").read_text(encoding="utf-8"))["figures"]["subjects"]
    assert [name for name, each in subjects.items() if not each["per_second"]["median"]] == []


def test_where_wrk_is_missing_the_command_says_how_to_install_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "auth"],
        cwd=ROOT, env={**os.environ, "PATH": ""}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "apt-get install wrk" in done.stderr


def test_the_pages_are_made_again_from_what_was_measured(folder: Path) -> None:
    before = {name: (folder / f"{name}.md").read_text(encoding="utf-8") for name in PAGES}
    for name in PAGES:
        (folder / f"{name}.md").unlink()
    run(folder, "pages")
    assert {name: (folder / f"{name}.md").read_text(encoding="utf-8") for name in PAGES} == before
