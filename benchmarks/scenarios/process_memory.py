"""Memory of an API of one process and of several: `python benchmarks/scenarios/process_memory.py`.

PSS counts a page that several processes share as so many parts. It is read from `/proc/PID/smaps_rollup` of all
processes of the API, after predictions on many connections and two seconds of quiet, with iris loaded. It writes
docs/benchmarks/process-memory.md.
"""

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
from rich.console import Console

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from ai_platform import settings as configuration  # noqa: E402
from ai_platform.local.servers import running_servers  # noqa: E402
from ai_platform.settings import Settings  # noqa: E402
from ai_platform.storage.schema import migrate  # noqa: E402
from harness import SAMPLE, Platform, eventually, publish_iris, train_iris  # noqa: E402

COUNTS = (1, 2, 3, 4)
CONNECTIONS = 16
console = Console()


def pss_mb(pid: int) -> float:
    """Proportional set size of a process, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not tell PSS")


def predict(url: str) -> None:
    """Some hundred predictions on connections that are spread over all processes."""
    clients = [httpx.Client(base_url=url) for _ in range(CONNECTIONS)]
    for _ in range(50):
        for client in clients:
            assert client.post("/predict/", json=SAMPLE).status_code == 200
    for client in clients:
        client.close()


def measure(settings: Settings, count: int) -> list[float]:
    """PSS of each process, the parent first where there is one."""
    api = settings.api.model_copy(update={"processes": count})
    with Platform.running(settings.model_copy(update={"api": api}), "api") as platform:
        served = f"aip_api_processes {count:.1f}"
        eventually(lambda: served in platform.client.get("/metrics").text, 30, "all serve")
        predict(platform.url)
        time.sleep(2)
        main = psutil.Process(platform.parts["api"].pid)
        return [pss_mb(one.pid) for one in [main, *main.children(recursive=True)]]


def main() -> None:
    """Measure, and write the page."""
    found: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, running_servers() as servers:
        iris = train_iris(Path(folder))
        settings = configuration.load(
            auth="off", database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=Path(folder)
        )
        models = settings.models.model_copy(update={"trusted_keys_dir": iris.keys})
        settings = settings.model_copy(update={"models": models})
        migrate(settings)
        publish_iris(settings, iris)
        for count in COUNTS:
            found[count] = measure(settings, count)
            console.print(count, [f"{one:.0f}" for one in found[count]])
    totals = {count: sum(parts) for count, parts in found.items()}
    added = (totals[COUNTS[-1]] - totals[2]) / (COUNTS[-1] - 2)
    rows = [
        f"| {count} | {totals[count]:.0f} MB | {f'{parts[0]:.0f} MB' if count > 1 else 'none'} | "
        f"{sum(parts[count > 1 :]) / count:.0f} MB |"
        for count, parts in found.items()
    ]
    text = "\n".join([
        "# Memory of several API processes", "",
        (f"Written by `python benchmarks/scenarios/process_memory.py` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"Python {sys.version.split()[0]}. PSS (`/proc/PID/smaps_rollup`) of all processes of the API with iris "
        "loaded, after predictions on 16 connections. A page that several processes share counts once in the sum."),
        "", "| `--api-processes` | In all | Parent | Each process |", "| ---: | ---: | ---: | ---: |", *rows, "",
        (f"Each process beyond the second adds {added:.0f} MB, and its own copy of every further model "
        "([what models cost](api-memory.md)). A container of its own adds the whole of the first row."),
    ]) + "\n"  # fmt: skip
    (ROOT / "docs" / "benchmarks" / "process-memory.md").write_text(text, encoding="utf-8")
    console.print(text)


if __name__ == "__main__":
    main()
