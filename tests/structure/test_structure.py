"""What a stranger may rely on in the tree: no circle of imports, no overfull folder, no long file."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ai_platform

pytestmark = pytest.mark.quick

SOURCE = Path(ai_platform.__file__).parent
TESTS = Path(__file__).parents[1]
MOST_LINES = 350
MOST_FILES = 15


def modules() -> dict[str, Path]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: set[str]) -> Iterator[str]:
    """The modules that a file imports, also inside functions; a package counts as its `__init__`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def test_no_import_comes_back_to_where_it_began_also_inside_functions() -> None:
    found = modules()
    graph = {name: set(imported(path, set(found))) - {name} for name, path in found.items()}
    assert sum(map(len, graph.values())) > len(graph), "the imports are seen"
    TopologicalSorter(graph).prepare()


def test_a_circle_would_be_seen() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_no_file_is_long() -> None:
    lengths = {path.relative_to(SOURCE): len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_folder_has_many_files() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    counts = {str(folder.relative_to(SOURCE)): len([*folder.glob("*.py"), *folder.glob("*.sql")]) for folder in folders}
    assert {folder: files for folder, files in counts.items() if files > MOST_FILES + 1} == {}  # beside `__init__`


def test_no_folder_of_tests_has_many_files() -> None:
    counts = Counter(path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))
    assert {folder: files for folder, files in counts.items() if files > MOST_FILES} == {}
