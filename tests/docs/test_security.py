"""SECURITY.md: each defence names where it is and a test that attacks it, and both exist."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
DEFENDED = TEXT[TEXT.index("## What is defended") : TEXT.index("## What is not there yet")]
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DEFENDED.splitlines()
    if line.startswith("|") and not line.startswith(("| Defence", "| ---"))
]


def test_each_line_of_what_is_defended_names_a_place_and_a_test_that_exist() -> None:
    assert len(LINES) > 20
    for defence, where, test in LINES:
        assert (ROOT / where.strip("`")).is_file(), defence
        named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)
        assert named is not None, defence
        assert f"def {named[2]}(" in (ROOT / named[1]).read_text(encoding="utf-8"), defence


def test_no_defence_is_claimed_outside_the_tables_that_are_checked() -> None:
    headings = re.findall(r"^### (.+)$", DEFENDED, re.MULTILINE)
    assert {"Requests", "Browsers", "Models", "Supply chain"} <= set(headings)
    assert DEFENDED.count("| Defence | Where | Test |") == len(headings)
