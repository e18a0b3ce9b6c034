"""Tables in files: whatever the bytes are, rows or a sentence; and memory that does not grow with them."""

import csv
import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_platform.tables.names import folded, nearest, spelt
from ai_platform.tables.opening import open_table
from ai_platform.tables.table import Row, TableUnreadable

pytestmark = pytest.mark.quick

DELIMITERS = [",", ";", "\t", "|"]
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=6)
# What the bytes of a table are made of, so that more of them are nearly one.
pieces = st.sampled_from([
    b"a,b\n", b'"', b"[", b"{", b'{"a": 1}', b"]", b",", b"\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9",
    b"\xc3\xa9", b";", b"1e999", b"NaN", b"PAR1", b"\x1f\x8b", b"\\", b" ",
])  # fmt: skip


def read(file: Path, **given: Any) -> list[Any]:
    with open_table(file, **given) as table:
        return list(table.rows)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "table"


@given(st.lists(pieces | st.binary(max_size=8), max_size=30).map(b"".join), st.booleans())
@settings(max_examples=300)
def test_any_bytes_are_rows_or_a_sentence(file: Path, content: bytes, compressed: bool) -> None:
    file.write_bytes(gzip.compress(content) if compressed else content)
    refused = ""
    try:
        read(file)
    except TableUnreadable as error:
        refused = error.detail
    assert not refused or (file.name in refused and "\n" not in refused)


@given(st.data(), st.sampled_from(DELIMITERS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
@settings(max_examples=100)
def test_what_a_csv_was_written_with_is_found_by_the_names(
    file: Path, data: st.DataObject, delimiter: str, codec: str
) -> None:
    names = ["age", "monthly bill"]
    rows = data.draw(st.lists(st.tuples(words, words), min_size=1, max_size=8))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    file.write_bytes(text.getvalue().encode(codec))
    with open_table(file, names) as table:
        assert table.names == names
        assert [tuple(row.cells) for row in table.rows if isinstance(row, Row)] == rows


@pytest.mark.parametrize("kind", ["csv", "lines", "array"])
def test_reading_holds_a_few_rows_at_a_time(file: Path, kind: str) -> None:
    records = [{"number": number, "text": "x" * 300} for number in range(20_000)]
    lines = {
        "csv": ["number,text", *(f"{one['number']},{one['text']}" for one in records)],
        "lines": [json.dumps(one) for one in records],
        "array": ["[", ",\n".join(json.dumps(one) for one in records), "]"],
    }[kind]
    file.write_text("\n".join(lines))
    tracemalloc.start()
    try:
        with open_table(file) as table:
            assert sum(1 for _row in table.rows) == len(records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert file.stat().st_size > 6_000_000
    # The first rows are looked at together for their names, and an array is read in parts of 256 KiB.
    assert peak < 5_000_000


def test_names_are_alike_where_people_and_libraries_write_them_differently() -> None:
    assert spelt("mean radius") == spelt("mean_radius")
    assert folded("\ufeff Age ") == folded("age") == folded('"AGE"')
    assert folded("age") != folded("ages")
    assert nearest("visits", ["age", "visists"]) == "visists"
    assert nearest("visits", ["age"]) is None


def test_parquet_is_read_row_by_row_with_its_types(tmp_path: Path) -> None:
    file = tmp_path / "rows.data"
    frame = pd.DataFrame({"age": [41.0, None], "plan": ["basic", "NA"], "member": [True, False], "visits": [3, 0]})
    frame.to_parquet(file)
    with open_table(file) as table:
        assert (table.kind, table.names, table.is_text) == ("Parquet", ["age", "plan", "member", "visits"], False)
        assert [row.cells for row in table.rows if isinstance(row, Row)] == [
            [41.0, "basic", True, 3],
            [None, "NA", False, 0],
        ]
