"""`keys`: make, list, rotate and revoke API keys, with the operator's own access to the database."""

import getpass
import json
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for
from ai_platform.errors import InvalidInput, InvalidSettings
from ai_platform.settings import Settings

keys = typer.Typer(help="API keys: who may call, and what they may do.", no_args_is_help=True)
app.add_typer(keys, name="keys")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
SHOWN = ("id", "owner", "state", "scopes", "models", "expires", "last used")


@keys.command()
def create(
    *,
    admin: Annotated[bool, typer.Option("--admin", help="With every scope.")] = False,
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be given again.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose it is; with --admin, `admin` unless given.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model that it may use; all without this.")] = None,
    expires_days: Annotated[
        float | None, typer.Option(help="Days that it is valid for; for ever without this.")
    ] = None,
    rows_per_second: Annotated[float | None, typer.Option(help="Rows a second that it may send.")] = None,
    burst_rows: Annotated[int | None, typer.Option(help="Rows that it may send at once.")] = None,
    waiting_jobs: Annotated[int | None, typer.Option(help="Queued jobs that its owner may have through it.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key and show it, once: what is kept is a hash."""
    from ai_platform.access import keys as rows
    from ai_platform.access.principal import SCOPES

    document: dict[str, Any] = {
        "owner": owner or ("admin" if admin else None),
        "scopes": list(SCOPES) if admin else scope or [],
        "models": model or None,
        "expires_in": None if expires_days is None else expires_days * 86_400,
        "rows_per_second": rows_per_second,
        "burst_rows": burst_rows,
        "waiting_jobs": waiting_jobs,
    }
    with _connection(settings_for(data_dir)) as connection:
        text, key = rows.create(connection, _terms(document), _user(), None)
    _show_once(text, key, as_json=as_json)


@keys.command("list")
def list_keys(*, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List all keys, newest first, ended ones included."""
    from ai_platform.access.api_key import every_key

    with _connection(settings_for(data_dir)) as connection:
        found = every_key(connection)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    table = Table(*SHOWN, box=None, header_style="bold")
    for key in found:
        models = "all" if key.models is None else ", ".join(key.models)
        times = (_time(key.expires_at), _time(key.last_used_at))
        table.add_row(key.id, key.owner, key.state, ", ".join(key.scopes), models, *times)
    Console().print(table if found else "there is no key; `ai-platform keys create --admin` makes the first")


@keys.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    overlap_hours: Annotated[float, typer.Option(min=0, max=720, help="Hours for which both are valid.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key's successor, with the same rights, and show it, once; the old one ends after the overlap."""
    from ai_platform.access import keys as rows

    with _connection(settings_for(data_dir)) as connection:
        text, key = rows.rotate(connection, key_id, timedelta(hours=overlap_hours), _user(), None)
    _show_once(text, key, as_json=as_json)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID")], *, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """End a key, now and for good; every API process knows it within 5 s."""
    from ai_platform.access import keys as rows

    with _connection(settings_for(data_dir)) as connection:
        key = rows.revoke(connection, key_id, _user())
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(key), indent=2))
    else:
        Console(highlight=False).print(f"{key.id} of {key.owner}: {key.state}")


@keys.command()
def generate() -> None:
    """Print the text of a key that is kept nowhere: for a file that AI_PLATFORM_ADMIN_KEY_FILE names."""
    from ai_platform.access.key_text import new_key_text

    typer.echo(new_key_text())


def ensure_admin_key(settings: Settings) -> None:
    """Take on the key that `admin_key` holds, if it is set.

    Raises:
        InvalidSettings: it is no key.
        StorageUnavailable: PostgreSQL is away.
    """
    text = settings.admin_key.get_secret_value() if settings.admin_key is not None else ""
    if not text:
        return
    from ai_platform.access import keys as rows

    with _connection(settings) as connection:
        key = rows.ensure_admin(connection, text, _user())
    Console(highlight=False).print("admin key: known already" if key is None else f"admin key: {key.id} made")


def _connection(settings: Settings) -> Any:
    from ai_platform.storage.postgres import Database

    return Database.of(settings).connect("keys")


def _terms(document: dict[str, Any]) -> Any:
    from ai_platform.access.key_spec import KeySpec

    try:
        return KeySpec.of_document(document)
    except InvalidInput as error:
        fault = error.faults[0]
        option = fault.pointer.split("/")[1].replace("scopes", "scope").replace("models", "model").replace("_", "-")
        raise InvalidSettings(f"--{option.replace('expires-in', 'expires-days')} {fault.detail}") from None


def _show_once(text: str, key: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"key": text, **msgspec.to_builtins(key)}, indent=2))
        return
    typer.echo(text)
    said = f"{key.id} of {key.owner}: {', '.join(key.scopes)}. The key stands above for the only time; keep it safe."
    Console(stderr=True, highlight=False).print(said, soft_wrap=True)


def _time(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "operator"
