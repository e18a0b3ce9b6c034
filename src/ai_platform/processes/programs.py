"""What is run: one description of a process, and the one way in which it is started."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from ai_platform.processes.accounts import Account
from ai_platform.processes.parent_death import PRCTL, dying_with

Role = Literal["up", "api", "worker", "sweeper", "postgres", "redis", "migrate"]

_PR_SET_CHILD_SUBREAPER = 36

# What a child writes belongs to the user of `up` alone.
_UMASK = 0o077


@dataclass(frozen=True)
class Program:
    """A process that is kept running.

    Attributes:
        role: what it is to the platform.
        command: program and arguments; never a secret, as every user of a machine can read them.
        environment: all of its variables.
        folder: where it is started.
        ready: whether it does its work by now; asked only between its start and the first yes, answers within about
            a second, and never raises.
        url: where it is reached, password included.
        account: the user it runs as; `None` for the present one.
        stop_signal: what asks it to end in order.
        stop_seconds: how long it may take over that.
        last_signal: what asks it once more, less kindly, before it is killed with all that it started.
        look_seconds: seconds between two looks at whether it is ready.
    """

    role: Role
    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    ready: Callable[[int], bool]
    url: str | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5.0
    last_signal: signal.Signals = signal.SIGKILL
    look_seconds: float = 0.02


def spawn(program: Program, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, to end when the present thread ends (where the system can: Linux).

    Args:
        program: what to start.
        output: where its standard output and error go (a file, or `subprocess.PIPE`).

    Raises:
        OSError: it could not be started.
    """
    account = program.account
    return subprocess.Popen(
        program.command,
        env=dict(program.environment),
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else (),
        umask=_UMASK,
        # After the change of user, which would undo it; nothing here runs a second thread, so the fork is safe.
        preexec_fn=dying_with(os.getpid(), program.stop_signal),  # noqa: PLW1509
    )


def adopt_orphans(*, wanted: bool) -> bool:
    """Whether processes whose parent died become children of this one (Linux: prctl, PR_SET_CHILD_SUBREAPER)."""
    return PRCTL is not None and PRCTL(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) == 0 and wanted
