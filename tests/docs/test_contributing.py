"""The worked example of a model format, run as it stands in CONTRIBUTING."""

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ai_platform.runtimes.base.runtime import Hints, Runtime
from ai_platform.runtimes.catalogue import format_of

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
# Files that a reader would make.
INVENTED = {"json_table.py", "0002_job_notes.py"}


def test_the_format_that_contributing_shows_works_as_it_stands_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (block,) = re.findall(
        r"^```python\n(# src/ai_platform/runtimes/python/json_table.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(block, names)
    runtime: Runtime = names["JsonTableRuntime"]()
    assert runtime.untrusted_types(BytesIO(b"[5, 6]")) == []
    signature = runtime.read_signature(BytesIO(b"[5, 6]"), Hints())
    assert runtime.load(BytesIO(b"[5, 6]"), signature).predict([[1]]).predictions == [6]
    with pytest.raises(ValueError, match="no list"):
        runtime.untrusted_types(BytesIO(b"{}"))


def test_every_worked_example_is_cut_from_the_code_that_it_names() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 10
    for block in blocks:
        first, _, example = block.partition("\n")
        assert first.startswith("# "), f"an example begins with the file that it is from: {first}"
        path = ROOT / first[2:]
        if path.exists():
            assert example.strip("\n") in path.read_text("utf-8"), first
        else:
            assert path.name in INVENTED, first


def test_a_file_of_no_known_ending_asks_for_its_format() -> None:
    with pytest.raises(ValueError, match=r"--format, one of .*sklearn-pickle"):
        format_of(Path("model.bin"))
