"""The data folder: everything that `up` keeps, for one platform at a time, in one known layout."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ai_platform.errors import StackError
from ai_platform.local.embedded.binaries import POSTGRES_MAJOR
from ai_platform.processes.accounts import is_root
from ai_platform.processes.files import write_private

LAYOUT = 1

# What may be there before the first `up`: other commands of the platform keep their files in the same folder.
KNOWN = {"iris", "keys", "models", "run", "up.lock", "lost+found"}


class DataFolder:
    """A data folder that this process holds alone; `opened()` gives one.

    Attributes:
        path: its absolute path.
        identity: random, made with the folder.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity

    @property
    def run(self) -> Path:
        """What is true only of the processes that run now (0700)."""
        return self.path / "run"

    @property
    def ports(self) -> Path:
        """Ports of last time."""
        return self.run / "ports.json"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's own folder, or a link to it."""
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's own folder."""
        return self.path / "valkey"


@contextmanager
def opened(path: Path) -> Iterator[DataFolder]:
    """Open the folder, or make it, and hold it until the end.

    A folder made here is closed to others (0700); made by root it can be passed through, not listed (0711), because
    PostgreSQL runs as another user. What is in it is closed to others in any case.

    Raises:
        StackError: it has another layout, holds other things, cannot be used, or a second `up` holds it. Nothing was
            changed then.
    """
    path = path.absolute()
    _check_layout(path, _read_layout(path))
    with ExitStack() as held:
        with explained(path):
            _make(path)
            held.enter_context(_held(path / "up.lock", path))
            (path / "run").mkdir(mode=0o700, exist_ok=True)
            folder = DataFolder(path, _identity(path))
        yield folder


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say what the system refused while the data folder was prepared.

    Raises:
        StackError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise StackError(
            f"the data folder {path} cannot be used ({what}); put that right, or name another with --data-dir"
        ) from None


def _read_layout(path: Path) -> dict[str, Any] | None:
    try:
        layout = json.loads((path / "layout.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise StackError(f"{path} is a file, not a folder; name another with --data-dir") from None
    except PermissionError:
        raise StackError(f"{path} belongs to another user; run as its owner, or name another with --data-dir") from None
    except (OSError, ValueError):
        layout = None
    return layout if isinstance(layout, dict) else {}


def _check_layout(path: Path, layout: dict[str, Any] | None) -> None:
    if layout is None:
        _refuse_strangers(path)
        return
    if layout.get("layout") != LAYOUT or not isinstance(layout.get("id"), str):
        raise StackError(
            f"the data folder {path} has layout {layout.get('layout', 'unknown')}, and this version of ai-platform "
            f"works with {LAYOUT}; use the version that made it, or name another folder with --data-dir"
        )
    major = _cluster_major(path) or layout.get("postgres")
    if major != POSTGRES_MAJOR:
        raise StackError(
            f"the data folder {path} was made by PostgreSQL {major}, and this is {POSTGRES_MAJOR}; dump it with the "
            "version that made it and restore it into another folder, named with --data-dir"
        )


def _cluster_major(path: Path) -> int | None:
    try:
        return int((path / "postgres" / "data" / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _refuse_strangers(path: Path) -> None:
    try:
        strangers = sorted({entry.name for entry in path.iterdir()} - KNOWN) if path.exists() else []
    except OSError as error:
        raise StackError(f"{path} cannot be read ({error.strerror}); name another folder with --data-dir") from None
    if strangers:
        raise StackError(
            f"{path} is no data folder of ai-platform, and holds other things ({strangers[0]}); "
            "name an empty or a new folder with --data-dir"
        )


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    path.chmod(0o711 if is_root() else 0o700)


@contextmanager
def _held(lock: Path, path: Path) -> Iterator[None]:
    """The lock is the kernel's, so that it ends with the process, however that ends; the file stays."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode(errors="replace").strip()
            raise StackError(
                f"another ai-platform{f' (process {holder})' if holder else ''} runs on the data folder {path}; "
                "stop it first, or name another folder with --data-dir"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _identity(path: Path) -> str:
    layout = _read_layout(path)
    if layout is None:
        layout = {"layout": LAYOUT, "postgres": POSTGRES_MAJOR, "id": secrets.token_hex(6)}
        write_private(path / "layout.json", json.dumps(layout))
    return str(layout["id"])
