"""Small files that are whole or absent: each is written beside its place, flushed, and renamed into it."""

import os
import secrets
from pathlib import Path

from ai_platform.processes.accounts import Account


def write_private(path: Path, text: str, owner: Account | None = None) -> None:
    """Replace a file in one step; only its owner may read it (0600).

    Args:
        path: where it is to stand; a link there is replaced, never followed.
        text: its whole content.
        owner: user to give it to; needs root.

    Raises:
        OSError: the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), owner.uid, owner.gid)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def kept_secret(path: Path, owner: Account | None = None) -> str:
    """A password that is made at first use and the same ever after (256 bits, URL-safe).

    Raises:
        OSError: it can be neither read nor written.
    """
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32), owner)
    return path.read_text(encoding="utf-8").strip()


def tail(path: Path, lines: int = 8) -> str:
    """The last lines of a log, at most 8 KiB of it; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
