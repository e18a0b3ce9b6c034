"""Starting a generator as a process of its own, on the load's core."""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.load import wrk
from benchmarks.load.plan import Phase, Plan

SPARE_SECONDS = 90.0
# What a quick run sends where wrk is not installed.
STAND_IN_PER_SECOND = 100.0
Seen = dict[str, Any]


class Running:
    """A generator that runs."""

    def __init__(
        self, command: list[str], given: bytes, seconds: float, read: Callable[[str], Seen], *, first: bool = False
    ) -> None:
        self._seconds, self._read = seconds, read
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, preexec_fn=_come_first if first else None
        )
        assert self._process.stdin is not None
        self._process.stdin.write(given)
        self._process.stdin.close()
        self._process.stdin = None

    def seen(self) -> Seen:
        """Wait until it has ended, and read what it saw.

        Raises:
            RuntimeError: it failed.
            TimeoutExpired: it did not end; it is killed then.
        """
        try:
            output, _ = self._process.communicate(timeout=self._seconds + SPARE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        if self._process.returncode:
            raise RuntimeError(f"a load generator failed with status {self._process.returncode}")
        return self._read(output.decode())

    def stop(self) -> None:
        """End it early."""
        self._process.send_signal(signal.SIGINT)


def open_loop(plan: Plan, *, read: Callable[[str], Seen] = json.loads, first: bool = False) -> Running:
    """Start the open loop; what it saw has a summary for each phase, in `phases`.

    Args:
        plan: what it does.
        read: what is taken of that.
        first: whether it comes before others on its core, so that its own wait for it is not measured as the server's.
    """
    command = [sys.executable, "-m", "benchmarks.load.open_loop"]
    return Running(command, pickle.dumps(plan), sum(phase.seconds for phase in plan.phases), read, first=first)


def closed_loop(plan: Plan) -> Running:
    """Start wrk; where it is not installed, which a quick run alone allows, an open loop stands in for it."""
    if not wrk.is_installed():
        phase = Phase(STAND_IN_PER_SECOND, plan.requests / STAND_IN_PER_SECOND or plan.seconds)
        return open_loop(replace(plan, phases=[phase]), read=lambda text: dict(json.loads(text)["phases"][0]))
    with tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False) as script:
        script.write(wrk.script_of(plan))

    def read(output: str) -> Seen:
        Path(script.name).unlink()
        return wrk.read(output, plan)

    return Running(wrk.command(plan, script.name), b"", plan.seconds, read)


def measured(plan: Plan) -> Seen:
    """What a closed loop saw from its beginning to its end."""
    return closed_loop(plan).seen()


def answered(plan: Plan) -> Seen:
    """The same, of a subject that answers every request as it should.

    Raises:
        RuntimeError: requests failed.
    """
    seen = measured(plan)
    if seen["failures"]:
        raise RuntimeError(f"{', '.join(call.path for call in plan.calls)} at port {plan.port}: {seen['failures']}")
    return seen


def name() -> str:
    """Of the closed loop, for the pages."""
    return "wrk" if wrk.is_installed() else f"an open loop of {STAND_IN_PER_SECOND:g} per second in the place of wrk"


def _come_first() -> None:
    if os.geteuid() == 0:
        os.nice(-10)
