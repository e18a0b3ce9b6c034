"""What the pages name exists: links, headings, commands, targets of make, files, tests."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from ai_platform import cli
from ai_platform.cli.app import app

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for place in ("*.md", "docs/**/*.md", "requirements/*.md", "src/**/*.md", "tests/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(place)
)
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"(?:src|tests|docs|requirements|benchmarks)/[\w./-]+")

every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def test_the_pages_that_a_newcomer_needs_are_there() -> None:
    wanted = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/quickstart.md", "docs/guarantees.md")
    assert [name for name in wanted if not (ROOT / name).exists()] == []


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = [link for link in LINK.findall(_prose(page)) if not _leads_somewhere(page, link)]
    assert dead == []


@every_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"(?<![\w.-])make ([a-z][a-z-]*)", _code(page))
    assert set(named) <= _targets()


@every_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"(?<![\w/.])ai-platform ([a-z][a-z-]*)", _code(page))
    assert set(named) <= _commands()


@every_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    spans = [span for span in INLINE.findall(_prose(page)) if FILE.match(span)]
    named = [FILE.match(span).group() for span in spans if not _is_a_pattern(span)]  # type: ignore[union-attr]
    assert [name for name in named if not (ROOT / name).exists()] == []


@every_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text(encoding="utf-8"))
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []


@every_page
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    assert re.findall(r"/(?:home|root|work|Users)/\w+", page.read_text(encoding="utf-8")) == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    records = {path.name for path in (ROOT / "docs" / "adr").glob("0*.md")}
    listed = set(re.findall(r"\((0[^)]*\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")))
    assert records == listed


def test_every_guarantee_has_a_test_that_attacks_it() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    promised = set(re.findall(r"^\*\*(G\d)\.", text, re.MULTILINE))
    attacked = set(re.findall(r"^\| (G\d) \|.*`tests/[^`]+::\w+`", text, re.MULTILINE))
    assert promised == {"G1", "G2", "G3", "G4", "G5"}
    assert promised - attacked == set()


def _prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def _code(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return "\n".join([*FENCED.findall(text), *INLINE.findall(_prose(page))])


def _leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    name, _, heading = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return False
    return not heading or heading in _headings(target)


def _headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def _commands() -> set[str]:
    assert cli.main is not None  # importing the package is what registers the commands
    root: Any = typer.main.get_command(app)
    return set(root.commands)


def _is_a_pattern(span: str) -> bool:
    return any(sign in span for sign in "*{<…")
