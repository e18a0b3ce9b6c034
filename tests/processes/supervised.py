"""A small `up`: keeps the programs of a JSON list running (`{"role": …, "code": …}`), as tests want them.

Arguments: data folder, the list, and optionally the code of a program that is run once before.
"""

import json
import os
import signal
import sys
from pathlib import Path

import psutil

from ai_platform.processes.output import Output
from ai_platform.processes.programs import Program, Role
from ai_platform.processes.status import Entry, write_status
from ai_platform.processes.supervisor import StopAsked, Supervisor


def program(role: Role, code: str) -> Program:
    command = [sys.executable, "-u", "-c", code]
    return Program(role, command, os.environ, Path.cwd(), lambda _: True, stop_seconds=1.0)


def main(folder: Path, wanted: list[dict[str, Role]], once: str | None) -> None:
    (folder / "run").mkdir(exist_ok=True)
    up = Entry("up", os.getpid(), psutil.Process().create_time(), "running", 0, None)
    output = Output(1, colour=False)
    try:
        with Supervisor(output, lambda entries: write_status(folder, [up, *entries])) as supervisor:
            if once is not None:
                supervisor.run(program("migrate", once), 20)
            for one in wanted:
                supervisor.start(program(one["role"], one["code"]))
            output.say("started")
            supervisor.watch()
    except StopAsked:
        output.say("asked to stop")
    finally:
        output.say("ended")
        output.flush(1.0)


# Tests that were started with `nohup` hand their ignored SIGHUP on, which the supervisor rightly keeps.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Whoever waits for a line of this script waits no longer than this.
signal.alarm(30)
main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
