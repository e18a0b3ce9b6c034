"""The table of packages holds what the tree has, and the order that import-linter holds."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/ai_platform"


def named() -> list[str]:
    text = (ROOT / "docs/architecture/README.md").read_text("utf-8")
    rows = re.findall(r"^\| (`src/ai_platform/.*?) \|", text, re.MULTILINE)
    return re.findall(r"`src/ai_platform/(\w+)(?:\.py)?`", "\n".join(rows))


def test_every_package_stands_in_the_table_of_packages() -> None:
    there = {path.stem for path in SOURCE.iterdir() if path.name not in {"__init__.py", "__pycache__", "py.typed"}}
    assert set(named()) == there


def test_the_table_has_the_order_of_the_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    height = {name: number for number, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    heights = [height[name] for name in named()]
    assert heights == sorted(heights)
