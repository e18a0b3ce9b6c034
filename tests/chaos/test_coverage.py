"""Every promise is attacked, and every named crash point is hit."""

import ast
import re
from pathlib import Path

from ai_platform import failpoints

TESTS = Path(__file__).parents[1]
GUARANTEES = TESTS.parent / "docs" / "guarantees.md"


def test_every_guarantee_is_attacked_by_a_test_that_names_it() -> None:
    promised = set(re.findall(r"^\*\*(G\d)\.", GUARANTEES.read_text(encoding="utf-8"), re.MULTILINE))
    attacked = {name for path in TESTS.rglob("test_*.py") for name in _guarantees(path)}
    assert promised
    assert promised - attacked == set()
    assert attacked - promised == set()


def test_every_failpoint_is_armed_by_a_test() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in TESTS.glob("chaos/test_*.py") if path.name != __name__)
    assert [point for point in failpoints.POINTS if f'"{point}"' not in texts] == []


def test_every_failpoint_is_reached_by_the_code() -> None:
    source = Path(failpoints.__file__).parent
    texts = "".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    assert [point for point in failpoints.POINTS if f'reach("{point}")' not in texts] == []


def _guarantees(path: Path) -> list[str]:
    """The names in `@pytest.mark.guarantee(...)` of a file's tests."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.guarantee":
            found += [str(part.value) for part in node.args if isinstance(part, ast.Constant)]
    return found
