"""Callers that predict without pause over connections of their own, and what they were answered."""

import http.client
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from harness import SAMPLE

BODY = json.dumps(SAMPLE)


class Load:
    """So many callers; each honours `Connection: close`, and tries nothing twice.

    Attributes:
        answered: how many requests got 200.
        failed: what became of the others.
    """

    def __init__(self, port: int, key: str, connections: int = 16) -> None:
        self.answered = 0
        self.failed: Counter[str] = Counter()
        self._port = port
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(connections)
        self._callers = [self._threads.submit(self._call) for _ in range(connections)]

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for caller in self._callers:
            caller.result(30)
        self._threads.shutdown()

    def _call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict/", BODY, self._headers)
                answer = connection.getresponse()
                answer.read()
                outcome = "" if answer.status == 200 else f"{answer.status}"
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
                connection.close()
                self._stop.wait(0.05)
            with self._lock:
                if outcome:
                    self.failed[outcome] += 1
                else:
                    self.answered += 1
        connection.close()
