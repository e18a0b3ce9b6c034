"""What the protocol class of our own costs and gains: `python -m benchmarks.protocol_class [--before FOLDER/src]`.

Processor time of the API process for each prediction of iris, over kept connections, one after another on each. Clients
and server share the machine; processor time does not depend on who else does. Every round takes each subject in turn.
The subjects: the API as shipped; the same application behind uvicorn's own httptools protocol; a bare ASGI function on
uvicorn; and, with `--before`, the API of another source tree. Nothing is written but a table on the screen.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ROOT
from benchmarks.harness.cores import ALL
from benchmarks.harness.figures import series
from benchmarks.harness.measures import cpu_seconds
from benchmarks.harness.models import IRIS
from benchmarks.harness.scenario import Bench, Figures, Options
from benchmarks.harness.site import READY_SECONDS, Server, Site, running, site
from benchmarks.load.generators import answered
from benchmarks.load.plan import Plan
from harness import environment, eventually, free_port

CONNECTIONS, REQUESTS, ROUNDS = 16, 6_000, 5
SHIPPED = "from ai_platform.api.server.serve import run\nrun(settings)\n"
STOCK = "from ai_platform.api.app import create\nserve(create(settings).app)\n"
BARE = "from benchmarks.harness.constant import constant\nserve(constant(b'{}'), lifespan='off')\n"
PROGRAM = """
import uvicorn
from ai_platform.settings import load
settings = load()
def serve(app, **more):
    uvicorn.run(app, port=settings.api.port, loop='uvloop', http='httptools', ws='none', access_log=False,
                server_header=False, **more)
"""


@contextlib.contextmanager
def served(name: str, program: str, source: Path, here: Site) -> Iterator[Server]:
    """A server that answers."""
    port = free_port()
    api = here.settings.api.model_copy(update={"port": port})
    variables = environment(here.settings.model_copy(update={"api": api, "auth": "off"}))
    variables["PYTHONPATH"] = str(source)
    with running([sys.executable, "-c", PROGRAM + program], ALL, variables, here.folder / f"{name}.log") as process:
        server = Server(process.pid, port)
        eventually(lambda: here.ask(server, here.models["iris"]), READY_SECONDS, f"{name} answers")
        yield server


def main() -> None:
    """Measure, and print microseconds a request, and the ratio to the bare function."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--before", type=Path)
    before = arguments.parse_args().before
    source = ROOT / "src"
    subjects = {"shipped": (SHIPPED, source), "stock": (STOCK, source), "bare": (BARE, source)}
    if before is not None:
        subjects["before"] = (SHIPPED, before)
    with tempfile.TemporaryDirectory() as place, site(Path(place), {"iris"}) as here, contextlib.ExitStack() as stack:
        up = {name: stack.enter_context(served(name, *given, here)) for name, given in subjects.items()}

        def measure(name: str) -> Figures:
            spent = cpu_seconds(up[name].pid)
            seen = answered(Plan(up[name].port, "", [IRIS], CONNECTIONS, 60, REQUESTS))
            return {"us": (cpu_seconds(up[name].pid) - spent) / seen["right"] * 1e6}

        bench = Bench(Options(ROUNDS + 1, 60), here.folder, lambda _: None, here)
        spent = series(bench.in_turn(list(up), measure), "us")
    for name, found in spent.items():
        _, *counted = found  # the first round is a warm-up
        middle = statistics.median(counted)
        ratio = middle / statistics.median(spent["bare"][1:])
        print(f"{name:8} {middle:7.1f} us a request ({min(counted):.1f} to {max(counted):.1f}), {ratio:.2f}")


if __name__ == "__main__":
    main()
