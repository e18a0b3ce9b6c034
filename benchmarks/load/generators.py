"""Starting a generator as a process of its own, on the load's core."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks import ROOT
from benchmarks.load import wrk
from benchmarks.load.plan import Plan

SPARE_SECONDS = 90.0


def measure(plan: Plan) -> dict[str, Any]:
    """A closed loop of one kind of request, by the real generator where it is installed."""
    if _by_wrk(plan.seconds):
        return wrk.run(plan)
    return started("closed_loop", plan).seen()


def generator(seconds: float) -> str:
    """What `measure` uses for measurements of this length, for the report."""
    if _by_wrk(seconds):
        return "wrk"
    why = "wrk measures whole seconds" if wrk.installed() else "wrk is not installed"
    return f"the bundled asyncio generator ({why})"


def _by_wrk(seconds: float) -> bool:
    return wrk.installed() and seconds >= 1


class Running:
    """A generator that runs."""

    def __init__(self, process: "subprocess.Popen[str]", seconds: float) -> None:
        self._process, self._seconds = process, seconds

    def seen(self) -> dict[str, Any]:
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
        found: dict[str, Any] = json.loads(output)
        return found

    def stop(self) -> None:
        """End a closed loop early; what is under way is still answered."""
        self._process.terminate()


def started(kind: str, plan: Plan, *, first: bool = False) -> Running:
    """Start `closed_loop` or `open_loop`.

    Args:
        kind: which.
        plan: what it does.
        first: whether it comes before others on its core, so that its own wait for it is not measured as the server's.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.load.{kind}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=_come_first if first else None,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)))
    process.stdin.close()
    process.stdin = None
    return Running(process, plan.seconds + sum(phase.seconds for phase in plan.phases))


def _come_first() -> None:
    if os.geteuid() == 0:
        os.nice(-10)
