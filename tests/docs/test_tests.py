"""The page about the tests holds what the tree has: folders, tiers with their targets, shared modules."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = (TESTS / "README.md").read_text("utf-8")
PRODUCT = {"bench", "chaos", "compose", "docs", "fuzz", "stack", "structure"}


def cells(heading: str) -> list[str]:
    """The first cell of each row of the tables under a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)


def folders() -> set[str]:
    return {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/*.py")}


def test_every_folder_of_tests_stands_in_a_table_in_alphabetical_order() -> None:
    named = [cell.strip("`").removeprefix("tests/") for cell in cells("Where what lies")]
    assert set(named) == folders()
    packages, product = named[: -len(PRODUCT)], named[-len(PRODUCT) :]
    assert (packages, product) == (sorted(packages), sorted(product))
    assert set(product) == PRODUCT


def test_every_folder_has_the_name_of_a_package_or_is_about_the_whole() -> None:
    packages = {path.stem for path in (ROOT / "src/ai_platform").iterdir()}
    assert folders() - PRODUCT - packages == set()


def test_every_tier_is_a_marker_and_every_marker_that_is_a_tier_stands_in_the_table() -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["markers"]
    tiers = {marker.partition(":")[0] for marker in markers} - {"slow_point", "guarantee(name)"}
    assert {cell.strip("`") for cell in cells("Tiers")} == tiers


def test_every_module_that_tests_share_stands_in_the_table() -> None:
    assert {cell.strip("`") for cell in cells("What tests share")} == {
        f"tests/{path.name}" for path in TESTS.glob("*.py")
    }
