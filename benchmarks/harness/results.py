"""The figures of each scenario as a JSON file, so that one can be repeated and the report made again from all."""

import importlib.metadata
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.load.generators import generator

LIBRARIES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "pydantic",
    "scikit-learn",
    "onnxruntime",
    "msgspec",
    "orjson",
)


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured.

    Attributes:
        rounds: of which medians are taken.
        seconds: of each measurement.
        minutes: of the watch over memory.
        quick: whether everything is as short as it can be, so that only the machinery is tried.
    """

    rounds: int
    seconds: float
    minutes: float
    quick: bool


def write(folder: Path, scenario: str, options: Options, figures: dict[str, Any], loaded: float) -> None:
    """Keep a scenario's figures, with the circumstances."""
    circumstances = {
        "machine": machine.described(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "generator": generator(options.seconds),
        "load_before": loaded,
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "minutes": options.minutes,
        "quick": options.quick,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"circumstances": circumstances, "figures": figures}, indent=1)
    (folder / f"{scenario}.json").write_text(text + "\n", encoding="utf-8")


def read(folder: Path, scenario: str) -> dict[str, Any] | None:
    """A scenario's figures and circumstances; None if it was never measured."""
    path = folder / f"{scenario}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
