"""The figures of each scenario as a JSON file, with the circumstances; pages are made from these alone."""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.scenario import Figures, Options
from benchmarks.load import generators

LIBRARIES = ("uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "scikit-learn", "onnxruntime", "msgspec",
             "orjson")  # fmt: skip


def machine() -> str:
    """Cores, processor, system and Python."""
    cpus = Path("/proc/cpuinfo")
    found = re.search(
        r"^model name\s*:\s*(.+)$", cpus.read_text(encoding="utf-8") if cpus.exists() else "", re.MULTILINE
    )
    processor = f" ({found[1]})" if found else ""
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores{processor}, {system}, Python {platform.python_version()}"


def commit() -> str:
    """What was measured; `dirty` where the tree had changes of its own."""
    command = ["git", "describe", "--always", "--dirty=, with changes", "--abbrev=9"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write(folder: Path, scenario: str, options: Options, figures: Figures, loaded: float) -> None:
    """Keep a scenario's figures; `loaded` is the load average before it began."""
    circumstances = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "machine": machine(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "closed_loop": generators.name(),
        "load_before": round(loaded, 1),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "quick": options.quick,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = flat({"circumstances": circumstances, "figures": figures})
    (folder / f"{scenario}.json").write_text(text, encoding="utf-8")


def read(folder: Path, scenario: str) -> dict[str, Any] | None:
    """A scenario's figures and circumstances; None if it was never measured."""
    path = folder / f"{scenario}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def flat(document: dict[str, Any]) -> str:
    """JSON with indents, and what holds no further level on one line."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return re.sub(r"[\[{]\n[^\[\]{}]*\n\s*[\]}]", lambda found: _line(found[0]), text) + "\n"


def _line(text: str) -> str:
    first, *middle, last = text.splitlines()
    return first + " ".join(line.strip() for line in middle) + last.strip()
