"""The system user that PostgreSQL runs as: it refuses to be root, so root lends it an unprivileged one."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ai_platform.errors import StackError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine.

    Attributes:
        name: login name, for sentences.
        uid: user id.
        gid: its primary group.
    """

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    """Whether this process may change to another user."""
    return os.geteuid() == 0


def postgres_account(folder: Path) -> Account | None:
    """The user that PostgreSQL is to run as; `None` means the present one.

    Args:
        folder: PostgreSQL's own folder; when it exists already, its owner stays the one.

    Raises:
        StackError: root, and no unprivileged user is known.
    """
    if not is_root():
        return None
    if folder.exists() and folder.stat().st_uid != 0:
        return _owner(folder)
    for name in CANDIDATES:
        account = _named(name)
        if account is not None:
            return account
    raise StackError(
        "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`; "
        "run ai-platform as an ordinary user"
    )


def may_enter(account: Account | None, folder: Path) -> bool:
    """Whether the user can pass through the folder; tried as that user, so that the system itself gives the answer."""
    return succeeds(["test", "-x", str(folder)], account)


def succeeds(command: list[str], account: Account | None) -> bool:
    """Whether a short command, run as the user, ends with status 0 within 10 s.

    Raises:
        StackError: root is not allowed to become that user (as in some containers).
    """
    try:
        return run_as(account, command, Path("/"), subprocess.DEVNULL, 10) == 0
    except PermissionError:
        return _not_executable(account)
    except (OSError, subprocess.TimeoutExpired):
        return False


def run_as(account: Account | None, command: list[str], folder: Path, output: int | IO[bytes], seconds: float) -> int:
    """Run a program of PostgreSQL's as the user, out of the terminal's reach: Ctrl-C is for `up` to act upon.

    Returns:
        Its exit status.

    Raises:
        OSError: it could not be started.
        subprocess.TimeoutExpired: it was killed after so many seconds.
    """
    return subprocess.run(
        command,
        env=bare_environment(),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
        start_new_session=True,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else (),
    ).returncode


def bare_environment() -> dict[str, str]:
    """Variables for a server: none of the user's `PG*`, `LC_*` or `LD_*` has a say in how it runs."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _not_executable(account: Account | None) -> bool:
    """PermissionError is also what a forbidden change of user looks like; tell the two apart."""
    if account is None:
        return False
    try:
        run_as(account, ["true"], Path("/"), subprocess.DEVNULL, 10)
    except (OSError, subprocess.SubprocessError):
        raise StackError(
            f"PostgreSQL does not run as root, and changing to the user {account.name} is not allowed here; "
            "run ai-platform as an ordinary user"
        ) from None
    return False


def _owner(folder: Path) -> Account:
    status = folder.stat()
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return Account(name, status.st_uid, status.st_gid)


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None
