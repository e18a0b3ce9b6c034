"""Restarts under load: SIGTERM to one of two API processes, ten times, while clients that never try again count.

The parent of the API processes starts another in the place of one that ends. A client keeps its connections, opens
another after `Connection: close`, and counts as failed whatever is no 200: a reset, a refused connection, no answer.
"""

import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from benchmarks.harness.cores import ALL, placement
from benchmarks.harness.results import Options
from benchmarks.harness.site import Server, Site
from benchmarks.load.generators import started
from benchmarks.load.plan import Call, Plan
from harness import eventually

MODELS = ("iris",)
PROCESSES, RESTARTS = 2, 10
CONNECTIONS = 16
END_SECONDS, START_SECONDS = 30.0, 60.0
PAUSE_SECONDS = 1.0


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """How many requests there were, and how many failed; `processes` is how many there really are."""
    with site.api(ALL, PROCESSES) as server:
        workers = serving(server)
        if len(workers) < PROCESSES:
            return {"processes": 1, "restarts": 0, "seconds": [], "seen": None}
        call = Call("iris", "/predict/", site.models["iris"].body(1))
        longest = times(options) * (END_SECONDS + START_SECONDS)
        generator = started("closed_loop", Plan(server.port, site.key, [call], CONNECTIONS, longest))
        took = []
        for number in range(times(options)):
            time.sleep(PAUSE_SECONDS)
            advance(f"SIGTERM to one of {len(workers)}")
            took.append(_restarted(server, number))
        time.sleep(PAUSE_SECONDS)
        generator.stop()
        seen = generator.seen()
    return {"placement": placement(ALL), "processes": PROCESSES, "restarts": len(took), "seconds": took, "seen": seen}


def times(options: Options) -> int:
    """How many restarts."""
    return 1 if options.quick else RESTARTS


def steps(options: Options) -> int:
    """How often `run` advances."""
    return times(options)


def serving(server: Server) -> list[psutil.Process]:
    """The processes that answer, oldest first: those children of the first one that are API processes too."""
    children = psutil.Process(server.pid).children()
    return sorted((child for child in children if _listens(child, server.port)), key=lambda child: child.create_time())


def _listens(child: psutil.Process, port: int) -> bool:
    try:
        return any(
            each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in child.net_connections("tcp")
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _restarted(server: Server, number: int) -> float:
    """End one, and wait until another serves in its place; seconds that it took."""
    before = serving(server)
    ended = before[number % len(before)]
    begun = time.monotonic()
    ended.send_signal(signal.SIGTERM)
    eventually(lambda: not ended.is_running(), END_SECONDS, "the process ends")
    known = {each.pid for each in before}
    eventually(
        lambda: len(serving(server)) == len(before) and {each.pid for each in serving(server)} - known,
        START_SECONDS,
        "another takes its place",
    )
    return time.monotonic() - begun
