"""Callers that never rest: synchronous and asynchronous predictions, with a ledger of every 202.

Each request has a connection of its own, as with curl: nginx before 1.27.4 closes idle connections whenever its list of
replicas changes, and whoever sends on one at that moment must send again (docs/operations/deploy.md).
"""

import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

# One flower of each class.
FLOWERS = ([5.1, 3.5, 1.4, 0.2], [5.9, 2.8, 4.3, 1.3], [6.7, 3.1, 5.6, 2.4])
CALLERS_OF_EACH_KIND = 4
PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Call:
    """One request as its caller saw it.

    Attributes:
        kind: `predict`, `async`, or `keyed` (asynchronous with an Idempotency-Key).
        begun: time.monotonic() before it was sent.
        ended: the same once it was answered or broke.
        status: HTTP status; 0 when the connection broke.
        detail: what was answered, or why it broke.
    """

    kind: str
    begun: float
    ended: float
    status: int
    detail: str

    @property
    def failed(self) -> bool:
        """Whether it was not answered with success."""
        return self.status not in {200, 202}


class Load:
    """Runs while it is entered.

    Args:
        ledger: file that gets a line for every 202, as it comes: the job's id and the class that it must give.
    """

    def __init__(self, ledger: Path) -> None:
        self.calls: list[Call] = []
        self._ledger = ledger.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        kinds = ("predict", "async", "keyed")
        self._threads = [
            threading.Thread(target=self._call_for_ever, args=(kind, place), daemon=True)
            for kind in kinds
            for place in range(CALLERS_OF_EACH_KIND)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=40)
        self._ledger.close()

    def count(self, kind: str) -> int:
        """How many calls of a kind have succeeded."""
        with self._lock:
            return sum(1 for call in self.calls if call.kind == kind and not call.failed)

    def between(self, begun: float, ended: float) -> list[Call]:
        """The calls that were under way at any moment of that time."""
        with self._lock:
            return [call for call in self.calls if call.ended >= begun and call.begun <= ended]

    def _call_for_ever(self, kind: str, place: int) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            place = (place + 1) % len(FLOWERS)
            call = self._call(kind, place)
            with self._lock:
                self.calls.append(call)

    def _call(self, kind: str, flower: int) -> Call:
        path = "/predict/" if kind == "predict" else "/predict/async"
        headers = {"Content-Type": "application/json"}
        if kind == "keyed":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        begun = time.monotonic()
        try:
            status, body = _send(path, json.dumps({"features": FLOWERS[flower]}), headers)
        except (OSError, http.client.HTTPException) as error:
            return Call(kind, begun, time.monotonic(), 0, repr(error))
        ended = time.monotonic()
        if status == http.client.ACCEPTED:
            self._note(json.loads(body)["id"], flower)
        wrong = status == http.client.OK and json.loads(body)["prediction"] != flower
        return Call(kind, begun, ended, 599 if wrong else status, body.decode())

    def _note(self, job: str, flower: int) -> None:
        with self._lock:
            self._ledger.write(f"{job} {flower}\n")


def _send(path: str, body: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", 8000, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
