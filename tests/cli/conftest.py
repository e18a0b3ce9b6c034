"""A platform with one model that answers with its row, so that a test sees what became of each cell."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ai_platform.cli.app import main
from ai_platform.models.loading.signing import signer
from ai_platform.models.publishing import Publisher
from ai_platform.models.registry.manifest import Draft
from ai_platform.settings import Settings
from harness import Iris, Platform

ECHO = b"""
import json


class Echo:
    inputs = {
        "age": {"type": "number", "nullable": True},
        "bill": "number",
        "member": "boolean",
        "plan": {"type": "string", "categories": ["basic", "NA", "01"]},
        "visits": "integer",
    }

    def predict(self, rows):
        if any(row[1] == 666 for row in rows):
            raise RuntimeError("it does not like this one")
        return [json.dumps(row) for row in rows]
"""

Run = Callable[..., "Ended"]


class Ended:
    """How a command ended, and what it said on both streams."""

    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, " ".join(said.split())


@pytest.fixture(scope="module")
def echoing(module_settings: Settings, iris: Iris, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    file = tmp_path_factory.mktemp("echo") / "echo.py"
    file.write_bytes(ECHO)
    Publisher.of(module_settings).publish(file, Draft(model="echo", format="python"), by="test",
        signer=signer(iris.signing_key, iris.keys),
    )  # fmt: skip
    with Platform.running(module_settings) as running:
        yield running


@pytest.fixture
def run(echoing: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `ai-platform predict` in this process, against the platform."""

    def ended(*arguments: object, url: str = echoing.url) -> Ended:
        monkeypatch.setattr(sys, "argv", ["ai-platform", "predict", *map(str, arguments), "--url", url])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return Ended(status, captured.err + captured.out)

    return ended


def rows_in(written: Path) -> list[Any]:
    """What the model saw, read of a CSV of predictions."""
    with written.open(newline="", encoding="utf-8") as file:
        return [json.loads(row["prediction"]) for row in csv.DictReader(file)]
