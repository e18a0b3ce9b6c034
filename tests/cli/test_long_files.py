"""A long file: a million rows through the command, in memory that does not grow with them.

`SCORED_ROWS` says how many; `make scoring` takes a million, and the short form fewer.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ai_platform.settings import Settings
from harness import Platform, environment

pytestmark = pytest.mark.slow

ROWS = int(os.environ.get("SCORED_ROWS", "60000"))
FEW = 5_000
# What Python's allocator and a longer line of the bar may take more.
MOST_GROWTH_KB = 25_000


def write_csv(file: Path, names: list[str], count: int) -> None:
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["id", *names])
        rows.writerows([number, *cells(number)] for number in range(count))


def write_array(file: Path, names: list[str], count: int) -> None:
    with file.open("w") as opened:
        opened.write("[")
        for number in range(count):
            record = {"id": number, **dict(zip(names, cells(number), strict=True))}
            opened.write(("," if number else "") + json.dumps(record))
        opened.write("]")


def cells(number: int) -> list[float]:
    return [4 + number % 40 / 10, 2 + number % 25 / 10, 1 + number % 60 / 10, 0.1 + number % 24 / 10]


# The peak is the process' own (VmHWM of proc_pid_status(5)): what wait4(2) tells counts the process that forked it.
MEASURED = """
import atexit, sys
from pathlib import Path
from ai_platform.cli import main

def tell():
    status = Path("/proc/self/status").read_text()
    print("peak", next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))

atexit.register(tell)
main()
"""


def scored(settings: Settings, file: Path, output: Path, url: str) -> int:
    """Kilobytes of resident memory that the command has had at most."""
    words = ["predict", "iris", "--file", str(file), "--output", str(output), "--url", url]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words], env=environment(settings), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def checked(platform: Platform, output: Path, count: int) -> None:
    """See that each row is there, in its order, and every thousandth as the platform says it alone."""
    with output.open(newline="") as opened:
        found = 0
        for number, row in enumerate(csv.DictReader(opened)):
            assert int(row["id"]) == number
            found += 1
            if number % max(1_000, count // 50) == 0:
                answer: Any = platform.client.post("/predict/", json={"features": cells(number)}).json()
                assert row["label"] == answer["label"]
                assert float(row["p_setosa"]) == pytest.approx(answer["probabilities"][0], abs=1e-6)
    assert found == count


@pytest.mark.parametrize("write", [write_csv, write_array], ids=["csv", "json"])
def test_the_memory_of_the_command_is_flat(platform: Platform, tmp_path: Path, write: Any) -> None:
    inputs = platform.client.get("/models/iris/versions/1").json()["inputs"]
    names = [feature["name"] for feature in inputs]
    peaks = []
    for count in (FEW, ROWS):
        file, output = tmp_path / f"{count}.csv", tmp_path / f"out-{count}.csv"
        write(file, names, count)
        peaks.append(scored(platform.settings, file, output, platform.url))
        checked(platform, output, count)
    print(f"\n{write.__name__}: {peaks[0] / 1000:.0f} MB for {FEW} rows, {peaks[1] / 1000:.0f} MB for {ROWS}")
    assert peaks[1] - peaks[0] < MOST_GROWTH_KB
