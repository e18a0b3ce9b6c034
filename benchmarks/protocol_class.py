"""What the protocol class of our own costs and gains: `python benchmarks/protocol_class.py [--before FOLDER/src]`.

Processor time of the API process for each prediction of iris, over kept connections, one after another on each. Clients
and server share the machine; processor time does not depend on who else does. Every round takes each subject in turn.
The subjects: the API as shipped; the same application behind uvicorn's own httptools protocol; a bare ASGI function on
uvicorn; and, with `--before`, the API of another source tree. Nothing is written but a table on the screen.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ai_platform import settings as configuration  # noqa: E402
from ai_platform.local.embedded.servers import running_servers  # noqa: E402
from ai_platform.settings import Settings  # noqa: E402
from ai_platform.storage.postgres import Database  # noqa: E402
from ai_platform.storage.schema import migrate  # noqa: E402
from harness import environment, eventually, free_port, publish_iris, train_iris  # noqa: E402

CONNECTIONS, REQUESTS, ROUNDS = 16, 6_000, 5
BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
REQUEST = (
    b"POST /predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)
SHIPPED = "from ai_platform.api.server.serve import run\nfrom ai_platform.settings import load\nrun(load())\n"
STOCK = (
    "import uvicorn\nfrom ai_platform.api.app import create\nfrom ai_platform.settings import load\n"
    "settings = load()\n"
    "uvicorn.run(create(settings).app, port=settings.api.port, loop='uvloop', http='httptools', ws='none',"
    " access_log=False, server_header=False)\n"
)
BARE = (
    "import uvicorn\nfrom ai_platform.settings import load\n"
    "async def app(scope, receive, send):\n"
    "    if scope['type'] != 'http':\n        return\n"
    "    await receive()\n"
    "    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'2')]})\n"
    "    await send({'type': 'http.response.body', 'body': b'{}'})\n"
    "uvicorn.run(app, port=load().api.port, loop='uvloop', http='httptools', ws='none', lifespan='off',"
    " access_log=False, server_header=False)\n"
)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served(program: str, settings: Settings, source: Path) -> Iterator[tuple[int, int]]:
    """Process id and port of a server that answers."""
    port = free_port()
    settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
    own = environment(settings) | {"PYTHONPATH": str(source)}
    process = subprocess.Popen([sys.executable, "-c", program], env=own, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: ask(port, 1) is not None, 60, "it answers")
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def ask(port: int, requests: int) -> bool | None:
    """So many requests, spread over the connections; None when one is not answered with 200."""
    with contextlib.ExitStack() as held:
        try:
            callers = [
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                for _ in range(min(CONNECTIONS, requests))
            ]
            for _ in range(requests // len(callers)):
                for caller in callers:
                    caller.sendall(REQUEST)
                for caller in callers:
                    answer = b""
                    while not answer.endswith(b"}"):
                        answer += caller.recv(65_536)
                    if not answer.startswith(b"HTTP/1.1 200"):
                        return None
        except OSError:
            return None
    return True


def main() -> None:
    """Measure, and print microseconds a request, and the ratio to the bare function."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--before", type=Path)
    before = arguments.parse_args().before
    with running_servers() as servers, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        iris = train_iris(Path(folder) / "iris")
        models = configuration.load().models.model_copy(update={"trusted_keys_dir": iris.keys})
        settings = configuration.load(
            auth="off", database_url=servers.postgres_url, redis_url=servers.redis_url, data_dir=Path(folder),
            models=models,
        )  # fmt: skip
        migrate(Database.of(settings))
        publish_iris(settings, iris)
        subjects = {"shipped": (SHIPPED, ROOT / "src"), "stock": (STOCK, ROOT / "src"), "bare": (BARE, ROOT / "src")}
        if before is not None:
            subjects["before"] = (SHIPPED, before)
        running = {
            name: stack.enter_context(served(program, settings, source)) for name, (program, source) in subjects.items()
        }
        spent: dict[str, list[float]] = {name: [] for name in running}
        for number in range(ROUNDS + 1):
            for name, (pid, port) in running.items():
                begun = cpu_seconds(pid)
                assert ask(port, REQUESTS)
                if number:  # the first is a warm-up
                    spent[name].append((cpu_seconds(pid) - begun) / REQUESTS * 1e6)
        bare = statistics.median(spent["bare"])
        for name, found in spent.items():
            middle = statistics.median(found)
            print(f"{name:8} {middle:7.1f} us a request ({min(found):.1f} to {max(found):.1f}), {middle / bare:.2f}")


if __name__ == "__main__":
    main()
