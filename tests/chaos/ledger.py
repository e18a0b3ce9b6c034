"""What was promised, written down where no crash of the platform can touch it; and clients that insist on an answer."""

import json
import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chaos.rig import new_key

ANSWER_SECONDS = 4.0
PAUSE_SECONDS = 0.1
REFUSALS = {429, 503}


class Ledger:
    """An append-only file: one line for each 202, on the disk before the next request is sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)

    def write(self, **promise: Any) -> None:
        line = json.dumps(promise).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]


@dataclass
class Counts:
    """What the clients have seen so far."""

    accepted: int = 0
    refused: int = 0
    broken: int = 0


class Clients:
    """Threads that submit jobs when they are let, and repeat each with its key until it gets a 202."""

    def __init__(self, url: str, ledger: Ledger, seed: int, threads: int = 4) -> None:
        self._url = url
        self._ledger = ledger
        self._permits = threading.Semaphore(0)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.counts = Counts()
        self.unexpected: list[str] = []
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed}-{number}"),), daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def let(self, jobs: int) -> None:
        """Allow that many more jobs."""
        self._permits.release(jobs)

    def stop(self) -> None:
        self._stop.set()
        self._permits.release(len(self._threads))
        for thread in self._threads:
            thread.join(ANSWER_SECONDS + 1)

    def _work(self, chance: random.Random) -> None:
        with httpx.Client(base_url=self._url, timeout=ANSWER_SECONDS) as client:
            while self._permits.acquire() and not self._stop.is_set():
                self._insist(client, new_key(), _body(chance))

    def _insist(self, client: httpx.Client, key: str, body: dict[str, Any]) -> None:
        while not self._stop.is_set():
            try:
                answer = client.post("/predict/async", json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self._count("broken")
            else:
                if answer.status_code == 202:
                    promise = answer.json()
                    self._ledger.write(key=key, id=promise["id"], version=promise["version"], body=body)
                    self._count("accepted")
                    return
                if answer.status_code not in REFUSALS:
                    self.unexpected.append(f"{answer.status_code} {answer.text}")
                self._count("refused")
            time.sleep(PAUSE_SECONDS)

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self.counts, name, getattr(self.counts, name) + 1)


def _body(chance: random.Random) -> dict[str, Any]:
    rows = [[round(chance.uniform(0.1, 8), 2) for _ in range(4)] for _ in range(chance.choice([1, 1, 1, 3]))]
    return {"features": rows[0]} if len(rows) == 1 else {"instances": rows}
