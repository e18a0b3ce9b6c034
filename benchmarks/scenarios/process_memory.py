"""Memory of an API of one process and of several.

PSS counts a page that several processes share as so many parts. It is read from all processes of the API, after
predictions on many connections and two seconds of quiet, with iris loaded.
"""

import time
from typing import Any

import httpx

from benchmarks.harness.cores import ALL
from benchmarks.harness.figures import table
from benchmarks.harness.measures import pss_mb_each
from benchmarks.harness.scenario import Bench, Figures, Scenario
from benchmarks.harness.site import Server, Site

COUNTS = (1, 2, 3, 4)
CONNECTIONS = 16


def run(bench: Bench) -> Figures:
    """MB by number of processes: of all, of the parent where there is one, and of each that serves."""
    found = {}
    for count in COUNTS[:2] if bench.options.quick else COUNTS:
        bench.begins(f"{count} processes")
        with bench.site.api(ALL, count) as server:
            predict(server, bench.site)
            time.sleep(0.1 if bench.options.quick else 2)
            first, *others = (round(each, 1) for each in pss_mb_each(server.pid))
            parent, serving = (first, others) if others else (None, [first])
            total = (parent or 0) + sum(serving)
            found[str(count)] = {"total": total, "parent": parent, "each": sum(serving) / count}
    return {"processes": found}


def predict(server: Server, site: Site) -> None:
    """Some hundred predictions on connections that are spread over all processes."""
    clients = [httpx.Client(base_url=server.url, headers=site.headers) for _ in range(CONNECTIONS)]
    for _ in range(50):
        for client in clients:
            client.post("/predict/", content=site.models["iris"].body(1)).raise_for_status()
    for client in clients:
        client.close()


def write(figures: Figures) -> dict[str, Any]:
    """By number of processes."""
    found = figures["processes"]
    rows = [
        [count, *("none" if each[name] is None else f"{each[name]:.0f} MB" for name in ("total", "parent", "each"))]
        for count, each in found.items()
    ]
    most = max(found)
    added = (found[most]["total"] - found["2"]["total"]) / max(1, int(most) - 2)
    return {"table": table("`--api-processes` | In all | Parent | Each process", rows, words=()), "added": added}


SCENARIO = Scenario(
    "process-memory", "Memory of several API processes", run, write, "process-memory",
    servers="iris alone", rounds=1, wrk=False,
)  # fmt: skip
