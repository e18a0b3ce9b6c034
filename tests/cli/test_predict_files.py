"""`ai-platform predict --file` on files of every shape: right values, or one sentence and exit status 1."""

import codecs
import gzip
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Run, rows_in

NAMES = "age,bill,member,plan,visits\n"
PLAIN = NAMES + "41,50.5,true,basic,3\n,0,false,NA,0\n"
ROWS: list[list[Any]] = [[41.0, 50.5, True, "basic", 3], [None, 0.0, False, "NA", 0]]
RECORDS = [dict(zip(NAMES.strip().split(","), row, strict=True)) for row in ROWS]
SEMICOLONS = "age;bill;member;plan;visits\n41;50,5;true;basic;3\n;0;false;NA;0\n"


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return stream.getvalue()


READ: dict[str, tuple[bytes | str, list[Any]]] = {
    "plain": (PLAIN, ROWS),
    "Windows line ends": (PLAIN.replace("\n", "\r\n"), ROWS),
    "line ends of an old Macintosh": (PLAIN.replace("\n", "\r"), ROWS),
    "no line end at the end": (PLAIN.rstrip("\n"), ROWS),
    "blank lines": (PLAIN.replace("\n", "\n\n"), ROWS),
    "UTF-8 with a mark": (codecs.BOM_UTF8 + PLAIN.encode(), ROWS),
    "UTF-16 with a mark": (PLAIN.encode("utf-16"), ROWS),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), ROWS),
    "UTF-16, the other end first": (PLAIN.encode("utf-16-be"), ROWS),
    "Windows-1252": ((NAMES + "1,2,true,Málaga,4\n").encode("cp1252"), [[1.0, 2.0, True, "Málaga", 4]]),
    "emoji and accents": (NAMES + "1,2,true,Ñandú 🦩,4\n", [[1.0, 2.0, True, "Ñandú 🦩", 4]]),
    "semicolons and decimal commas": (SEMICOLONS, ROWS),
    "semicolons and decimal points": (SEMICOLONS.replace("50,5", "50.5"), ROWS),
    "what Excel writes before the names": ("sep=;\n" + SEMICOLONS, ROWS),
    "tabs": (PLAIN.replace(",", "\t"), ROWS),
    "vertical bars": (PLAIN.replace(",", "|"), ROWS),
    "all in quotes": ('"age","bill","member","plan","visits"\n"41","50.5","true","basic","3"\n', ROWS[:1]),
    "a line break in quotes": (NAMES + '1,2,true,"one\ntwo",4\n', [[1.0, 2.0, True, "one\ntwo", 4]]),
    "a quote in quotes": (NAMES + '1,2,true,"say ""no"", 5",4\n', [[1.0, 2.0, True, 'say "no", 5', 4]]),
    "names in capitals": (PLAIN.replace("age,bill", "AGE,Bill"), ROWS),
    "blanks around names": (PLAIN.replace("age,bill,", " age , bill,"), ROWS),
    "another order": ("plan,visits,bill,age,member\n01,7,1e3,5,1\n", [[5.0, 1000.0, True, "01", 7]]),
    "a column more": ("id,age,bill,member,plan,visits\n7,41,50.5,true,basic,3\n", ROWS[:1]),
    "a delimiter at the end of each line": (PLAIN.replace("\n", ",\n"), ROWS),
    "words for a missing number": (NAMES + "".join(
        f"{word},1,0,NA,2\n" for word in ("nan", "NaN", "NA", "null", "None", "N/A")),
        [[None, 1.0, False, "NA", 2]] * 6),
    "whole numbers with a point": (NAMES + "41.0,2,1.0,01,3.0\n", [[41.0, 2.0, True, "01", 3]]),
    "truth as numbers and words": (NAMES + "1,1,TRUE,01,1\n1,1,False,01,1\n1,1,1,01,1\n1,1,0,01,1\n",
                                   [[1.0, 1.0, truth, "01", 1] for truth in (True, False, True, False)]),
    "a blank before a category": (NAMES + "1, 2, true, basic, 3\n", [[1.0, 2.0, True, "basic", 3]]),
    "the names alone": (NAMES, []),
    "JSON lines": ("\n".join(map(json.dumps, RECORDS)), ROWS),
    "JSON lines with NaN": ('{"age": NaN, "bill": 1, "member": false, "plan": "x", "visits": 2}\n',
                            [[None, 1.0, False, "x", 2]]),
    "JSON lines that leave out what is missing": (
        json.dumps(RECORDS[0]) + '\n{"bill": 0, "member": 0, "plan": "NA", "visits": 0.0}\n', ROWS),
    "JSON array": (json.dumps(RECORDS), ROWS),
    "JSON array with line breaks": (json.dumps(RECORDS, indent=2), ROWS),
    "CSV in gzip": (gzip.compress(PLAIN.encode()), ROWS),
    "JSON lines in gzip": (gzip.compress("\n".join(map(json.dumps, RECORDS)).encode()), ROWS),
    "a wide file": (
        ",".join([*(f"c{place}" for place in range(2000)), NAMES]) + ",".join(["0"] * 2000 + ["1,2,true,01,3\n"]),
        [[1.0, 2.0, True, "01", 3]]),
}  # fmt: skip

REFUSED: dict[str, tuple[bytes | str, str]] = {
    "nothing": (b"", "is empty"),
    "blanks": (b" \n\n", "is empty"),
    "a column is not there": ("bill,member,plan,visits\n1,true,x,2\n", "the model's input 'age' is no column"),
    "a name misspelt": (PLAIN.replace("visits", "visists"),
                        "'visits' is no column of file.csv; the nearest is 'visists'"),
    "a name twice": (NAMES.replace("age", "age,age") + "1,2,3,true,x,4\n", "several columns of file.csv could be"),
    "two names that could be it": ("Age,AGE,bill,member,plan,visits\n1,1,2,true,x,4\n", "'Age', 'AGE'"),
    "no names": ("41,50.5,1,7,3\n42,50.5,1,7,3\n", "holds numbers and no names"),
    "no table": ("Dear Sir or Madam,\nplease find below\n", "is no column of file.csv"),
    "Parquet that is none": (b"PAR1" + bytes(range(128, 256)) + b"PAR1", "Parquet file"),
    "a workbook": (zipped(), "save it as CSV"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), "is a picture"),
    "bytes": (bytes(range(256)) * 10, "file.csv"),
    "half a gzip": (gzip.compress(PLAIN.encode() * 500)[:-20], "damaged or cut short"),
    "damaged UTF-8": ((NAMES + "1,2,true,Málaga é è,4\n").encode().replace(b"\xa8,", b","), "damaged"),
    "half a character at the end": ((NAMES + "1,2,true,é,4\n1,2,true,é").encode()[:-1], "damaged"),
    "an encoding that is not known": ((NAMES + "1,2,true,").encode() + b"\x81\x8d\x8f,4\n", "save it as UTF-8"),
    "half a JSON array": (json.dumps(RECORDS)[:-20], "damaged or cut short"),
    "a JSON array of numbers": ("[1, 2]", "no table of JSON objects"),
    "one JSON object over several lines": (json.dumps({"rows": RECORDS}, indent=2), "no table of JSON objects"),
}  # fmt: skip

# A faulty row beside a good one: what is said of it.
FAULTY: dict[str, tuple[bytes | str, str]] = {
    "a cell too few": (NAMES + "41,50.5,true,basic,3\n41\n", "line 3: has 1 cell, and there are 5 names"),
    "a cell too many": (NAMES + "41,50.5,true,basic,3\n1,2,true,x,3,9\n", "line 3: has 6 cells"),
    "a word for a number": (NAMES + "old,1,true,x,3\n41,50.5,true,basic,3\n", "line 2: age: must be a number"),
    "a half where whole ones are needed": (NAMES + "41,50.5,true,basic,3\n1,1,1,x,3.5\n", "visits: must be an integer"),
    "an empty cell that the model needs": (NAMES + "41,50.5,true,basic,3\n1,,1,x,3\n", "line 3: bill: is empty"),
    "an infinite number": (NAMES + "41,50.5,true,basic,3\n1e999,1,1,x,3\n", "line 3: age: must be a finite number"),
    "too large a number": (NAMES + "41,50.5,true,basic,3\n1e200,1,1,x,3\n", "line 3: age: must be from"),
    "a comma where points are": (PLAIN.splitlines()[0] + '\n41,50.5,true,basic,3\n1,"2,5",1,x,3\n',
        "bill: must be a number"),
    "a NUL in a text": (NAMES + "41,50.5,true,basic,3\n1,1,1,a\0b,3\n", "plan: must not hold control characters"),
    "a NUL in a number": (NAMES + "41,50.5,true,basic,3\n1\0,1,1,x,3\n", "age: must be a number"),
    "a quotation mark that nothing closes": (NAMES + '41,50.5,true,basic,3\n1,1,1,"x,3\n1,1,1,x,3\n',
        "line 3: cannot be read"),
    "a model that fails for one row": (NAMES + "1,666,1,x,3\n41,50.5,true,basic,3\n",
        "line 2: the model raised RuntimeError"),
    "a line that is no JSON": (json.dumps(RECORDS[0]) + "\n{]\n", "line 2: is no JSON"),
    "a name twice in an object": (json.dumps(RECORDS[0]) + '\n{"age": 1, "age": 2}\n',
        "line 2: has the same name twice"),
    "a number in quotes": (json.dumps([RECORDS[0], {**RECORDS[0], "bill": "1"}]), "row 2: bill: must be a number"),
    "an object without a value that is needed": (json.dumps([RECORDS[0], {"age": 1}]), "row 2: bill: is missing"),
}  # fmt: skip


def file_of(folder: Path, content: bytes | str) -> Path:
    file = folder / "file.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_as_it_was_meant(run: Run, tmp_path: Path, name: str) -> None:
    content, expected = READ[name]
    ended = run("echo", "--file", file_of(tmp_path, content), "--output", tmp_path / "out.csv")
    assert ended.status == 0, ended.said
    assert rows_in(tmp_path / "out.csv") == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "out.csv"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(run: Run, tmp_path: Path, name: str) -> None:
    content, sentence = REFUSED[name]
    ended = run("echo", "--file", file_of(tmp_path, content), "--output", tmp_path / "out.csv")
    assert (ended.status, ended.said.count("ai-platform:")) == (1, 1), ended.said
    assert sentence in ended.said
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_row_is_named_and_the_others_are_predicted(run: Run, tmp_path: Path, name: str) -> None:
    content, sentence = FAULTY[name]
    ended = run("echo", "--file", file_of(tmp_path, content), "--output", tmp_path / "out.csv")
    assert ended.status == 1
    assert sentence in ended.said
    assert "1 of 2 rows were not predicted; the other 1 are in" in ended.said
    # Under its own name nobody may take it for whole.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "out.partial.csv"]
    assert rows_in(tmp_path / "out.partial.csv") == ROWS[:1]


def test_what_is_not_read_and_what_is_matched_is_said(run: Run, tmp_path: Path) -> None:
    content = PLAIN.replace("age", "Age").replace("\n", ",x\n")
    ended = run("echo", "--file", file_of(tmp_path, content.replace("visits,x", "visits,note")))
    assert ended.status == 0
    assert "column 'Age' is read as input 'age'" in ended.said
    assert "not read, because they are no inputs of the model: note" in ended.said


def test_commas_that_could_be_thousands_are_no_decimals_until_it_is_said(run: Run, tmp_path: Path) -> None:
    file = file_of(tmp_path, "age;bill;member;plan;visits\n1;1,234;1;x;3\n")
    assert "bill: must be a number" in run("echo", "--file", file).said
    ended = run("echo", "--file", file, "--decimal", ",", "--output", tmp_path / "out.csv")
    assert ended.status == 0, ended.said
    assert rows_in(tmp_path / "out.csv")[0][1] == 1.234


def test_many_faulty_rows_are_counted_and_the_first_are_named(run: Run, tmp_path: Path) -> None:
    lines = "".join(f"{number},1e200,1,x,3\n" if number % 3 else f"{number},1,1,x,3\n" for number in range(1500))
    ended = run("echo", "--file", file_of(tmp_path, NAMES + lines), "--output", tmp_path / "out.csv")
    assert ended.status == 1
    assert "line 3: bill: must be from" in ended.said
    assert "… and 980 more" in ended.said
    assert "1000 of 1500 rows were not predicted; the other 500 are in" in ended.said
    assert [row[0] for row in rows_in(tmp_path / "out.partial.csv")] == list(range(0, 1500, 3))


def test_rows_larger_than_a_request_may_be_are_asked_in_several(run: Run, tmp_path: Path) -> None:
    text = "x" * 60_000
    lines = "".join(f"{number},1,1,{text},3\n" for number in range(40))
    ended = run("echo", "--file", file_of(tmp_path, NAMES + lines), "--output", tmp_path / "out.csv")
    assert ended.status == 0, ended.said[:500]
    assert [row[0] for row in rows_in(tmp_path / "out.csv")] == list(range(40))


def test_a_text_above_the_limit_is_refused_with_the_setting_that_says_so(run: Run, tmp_path: Path) -> None:
    ended = run("echo", "--file", file_of(tmp_path, NAMES + f"1,1,1,{'x' * 70_000},3\n"))
    assert ended.status == 1
    assert "AI_PLATFORM_LIMITS__STRING_BYTES" in ended.said


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv.gz", "jsonl.gz"])
def test_predictions_are_written_as_the_ending_says(run: Run, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    assert run("echo", "--file", file_of(tmp_path, PLAIN), "--output", out).status == 0
    content = gzip.decompress(out.read_bytes()) if ending.endswith("gz") else out.read_bytes()
    text = content.decode()
    if "json" not in ending:
        assert text.splitlines()[0] == "age,bill,member,plan,visits,prediction,version"
        return
    written = json.loads(text) if ending == "json" else [json.loads(line) for line in text.splitlines()]
    assert [json.loads(row["prediction"]) for row in written] == ROWS


def test_a_column_that_is_named_as_a_prediction_is_kept(run: Run, tmp_path: Path) -> None:
    content = "prediction," + PLAIN.replace("\n", "\nold,", 2).rstrip("\n") + "\n"
    out = tmp_path / "out.csv"
    assert run("echo", "--file", file_of(tmp_path, content), "--output", out).status == 0
    first, second = out.read_text().splitlines()[:2]
    assert first == "prediction,age,bill,member,plan,visits,prediction_predicted,version"
    assert second.startswith("old,")


def test_an_existing_file_stays_until_the_new_one_is_whole(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("before")
    assert run("echo", "--file", file_of(tmp_path, NAMES + "old,1,1,x,3\n"), "--output", out).status == 1
    assert out.read_text() == "before"
    assert run("echo", "--file", file_of(tmp_path, PLAIN), "--output", out).status == 0
    assert rows_in(out) == ROWS


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("none/out.csv", "there is no folder"),
        (".", "is a folder"),
        ("file.csv", "is the file of the rows"),
        ("out.parquet", "written as CSV"),
    ],
)
def test_an_output_that_cannot_be_written_stops_before_anything_is_asked(
    run: Run, tmp_path: Path, output: str, sentence: str
) -> None:
    file = file_of(tmp_path, PLAIN)
    ended = run("echo", "--file", file, "--output", tmp_path / output)
    assert (ended.status, file.read_text()) == (1, PLAIN)
    assert sentence in ended.said


@pytest.mark.parametrize(("name", "sentence"), [("none.csv", "there is no such file"), (".", "is a folder")])
def test_a_file_that_is_not_there_is_one_sentence(run: Run, tmp_path: Path, name: str, sentence: str) -> None:
    ended = run("echo", "--file", tmp_path / name)
    assert ended.status == 1
    assert sentence in ended.said


def test_rows_can_come_through_a_pipe(run: Run, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, PLAIN.encode())
    os.close(writing)
    assert run("echo", "--file", f"/dev/fd/{reading}", "--output", tmp_path / "out.csv").status == 0
    os.close(reading)
    assert rows_in(tmp_path / "out.csv") == ROWS


def test_a_platform_that_does_not_answer_and_a_model_that_is_not_there_are_one_sentence(
    run: Run, tmp_path: Path
) -> None:
    file = file_of(tmp_path, PLAIN)
    assert "is the platform up?" in run("echo", "--file", file, url="http://127.0.0.1:9").said
    ended = run("nobody", "--file", file)
    assert (ended.status, "nobody" in ended.said) == (1, True)


def test_json_on_standard_output_has_one_object_a_row_and_an_error_for_a_faulty_one(run: Run, tmp_path: Path) -> None:
    ended = run("echo", "--file", file_of(tmp_path, PLAIN + "old,1,1,x,3\n"), "--json")
    assert ended.status == 1
    assert '{"row":"line 4","error":"age: must be a number"}' in ended.said
