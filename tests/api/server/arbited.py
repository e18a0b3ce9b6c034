"""An arbiter over workers that serve nothing: each behaves as the file `behaviour` says when it is born.

Arguments: a folder, and how many workers. A worker leaves `born-PID` there, and `serving-PID` once it says that it
serves.
"""

import os
import signal
import sys
from pathlib import Path

from ai_platform.api.server.arbiter import Arbiter
from ai_platform.api.server.workers import ORDERS, Assignment
from ai_platform.errors import StackError

END_SECONDS = 1.0
DIED = 3


def behave(assignment: Assignment, folder: Path) -> None:
    """Be a worker: `serves`, is `deaf` to orders, is `slow` to serve for ever, or `dies` at its birth."""
    behaviour = (folder / "behaviour").read_text(encoding="ascii")
    (folder / f"born-{os.getpid()}").touch()
    if behaviour == "dies":
        os._exit(DIED)
    for order in ORDERS:
        signal.signal(order, signal.SIG_IGN if behaviour == "deaf" else lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ORDERS)
    if behaviour != "slow":
        (folder / f"serving-{os.getpid()}").touch()
        assignment.tell("serving")
    while True:
        signal.pause()


def main(folder: Path, workers: int) -> None:
    arbiter = Arbiter(workers, 0.0, [])
    arbiter._end_seconds = END_SECONDS  # without those that an application may take to close
    try:
        assignment = arbiter.run()
    except StackError as error:
        sys.exit(str(error))
    if assignment is not None:
        behave(assignment, folder)


main(Path(sys.argv[1]), int(sys.argv[2]))
