"""What a sample shows of a model's inputs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ai_platform.runtimes.base.signature import Feature
from ai_platform.runtimes.samples import MOST_KEPT, from_frame, read

pytestmark = pytest.mark.quick

CSV = """age,income,city,member,since,target
31,1200.5,Rome,true,5,yes
45,,Paris,false,,no
27,800.0,Rome,true,7,no
52,950.25,,true,9,yes
"""
INPUTS = (
    Feature(name="age", type="integer", minimum=27, maximum=52, example=31),
    Feature(name="income", nullable=True, minimum=800, maximum=1200.5, example=950.25),
    Feature(name="city", type="string", nullable=True, example="Rome"),
    Feature(name="member", type="boolean", categories=(False, True), example=True),
    Feature(name="since", nullable=True, minimum=5, maximum=9, example=7.0),
    Feature(name="target", type="string", categories=("no", "yes"), example="yes"),
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sample.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def test_types_missing_values_ranges_and_examples_are_read_of_a_csv_file(table: Path) -> None:
    assert read(table).inputs == INPUTS


def test_rows_of_a_csv_file_stay_text_until_the_model_types_them(table: Path) -> None:
    assert read(table).rows[1] == ["45", None, "Paris", "false", None, "no"]


def test_rows_are_plain_values_with_none_where_one_is_missing(table: Path) -> None:
    rows = from_frame(pd.read_csv(table)).rows
    assert rows[1] == [45, None, "Paris", False, None, "no"]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_json_lines_say_the_same_as_csv(table: Path, tmp_path: Path) -> None:
    lines = tmp_path / "sample.jsonl"
    frame = pd.read_csv(table).astype(object)
    lines.write_text(
        "\n".join(json.dumps(record) for record in frame.where(frame.notna(), None).to_dict("records")),
        encoding="utf-8",
    )
    assert read(lines).inputs == read(table).inputs


def test_names_of_persons_are_no_categories() -> None:
    frame = pd.DataFrame({"name": [f"person {number}" for number in range(80)], "plan": ["a", "b"] * 40})
    name, plan = from_frame(frame).inputs
    assert name.categories is None
    assert plan.categories == ("a", "b")


def test_at_most_a_hundred_categories_are_shown() -> None:
    many = pd.DataFrame({"code": [f"c{number % 101}" for number in range(1010)]})
    few = pd.DataFrame({"code": [f"c{number % 100}" for number in range(1000)]})
    assert from_frame(many).inputs[0].categories is None
    assert len(from_frame(few).inputs[0].categories or ()) == 100


def test_columns_of_categories_are_what_their_categories_are() -> None:
    frame = pd.DataFrame({
        "word": pd.Series(["a", None, "b"], dtype="category"), "number": pd.Series([1, 2, 2], dtype="category"),
    })  # fmt: skip
    word, number = from_frame(frame).inputs
    assert (word.type, word.nullable, word.categories) == ("string", True, ("a", "b"))
    assert (number.type, number.minimum, number.maximum) == ("integer", 1, 2)


def test_a_column_of_nothing_is_a_number_that_may_be_missing() -> None:
    assert from_frame(pd.DataFrame({"a": [None, None], "b": [1, 2]})).inputs[0] == Feature(name="a", nullable=True)


def test_nullable_types_of_pandas_are_read_like_the_others() -> None:
    frame = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": pd.array([True, None, True], "boolean")})
    a, b = from_frame(frame).inputs
    assert (a.type, a.nullable, b.type, b.nullable) == ("integer", True, "boolean", True)
    assert from_frame(frame).rows == [[1, True], [None, None], [3, True]]


def test_many_rows_are_kept_in_a_bounded_number_that_spreads_over_the_table() -> None:
    rows = from_frame(pd.DataFrame({"a": np.arange(10_001)})).rows
    assert len(rows) <= MOST_KEPT
    assert rows[0] == [0]
    assert int(rows[-1][0] or 0) > 9_900


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (pd.DataFrame({"day": pd.to_datetime(["2026-01-01"])}), "column 'day' of the sample holds datetime64 values"),
        (pd.DataFrame({"both": [1, "a"]}), "column 'both' of the sample holds mixed-integer values"),
        (pd.DataFrame({"a": []}), "no rows"),
    ],
    ids=["dates", "mixed", "empty"],
)
def test_what_json_has_no_value_for_is_refused_by_column(frame: pd.DataFrame, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_frame(frame)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", ""), ("a.jsonl", "not json"), ("a.jsonl", "5"), ("a.csv", "\xff")]
)
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=name):
        read(path)
