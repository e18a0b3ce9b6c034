"""`doctor`: looks at each part that the platform needs, and says what to do about each failure."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from rich.console import Console

from ai_platform.cli.app import app
from ai_platform.cli.connections import DataDir, settings_for
from ai_platform.errors import InvalidSettings, PlatformError
from ai_platform.settings import Settings

Found = TypeVar("Found")

console = Console(highlight=False)


class Ailment(Exception):  # what a doctor finds
    """Something is wrong; the second argument says what to do about it."""


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Check connections, schema, model, workers and jobs; exit status 1 when something is wrong."""
    from ai_platform.telemetry import configure_logging

    settings = settings_for(data_dir)
    configure_logging(settings.log.model_copy(update={"level": "error"}), "doctor")
    ills = 0
    for check in (postgresql, schema, redis_answers, redis_policy, model, workers, jobs):
        name = check.__name__.replace("_", " ")
        try:
            console.print(f"[green]  ok  [/] {name:<14} {check(settings)}")
        except Ailment as ailment:
            ills += 1
            what, remedy = ailment.args
            console.print(f"[red] FAIL [/] {name:<14} {what}\n{'':22}→ {remedy}")
    console.print(f"\n{ills} of 7 checks failed" if ills else "\neverything is in order")
    sys.exit(1 if ills else 0)


def postgresql(settings: Settings) -> str:
    """PostgreSQL answers."""
    row = _query(settings, "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync")[0]
    if row["fsync"] != "on":
        raise Ailment("fsync is off: a crash can lose accepted jobs", "set fsync = on in postgresql.conf")
    return f"version {row['version']}"


def schema(settings: Settings) -> str:
    """The schema is the one that this code needs."""
    from ai_platform.storage.postgres import Database
    from ai_platform.storage.schema import current_revision, newest_revision

    found, needed = _asked(lambda: current_revision(Database.of(settings))), newest_revision()
    if found != needed:
        raise Ailment(f"schema {found or 'empty'}, this version needs {needed}", "run `ai-platform migrate`")
    return str(found)


def redis_answers(settings: Settings) -> str:
    """Redis answers."""
    return f"version {_redis_info(settings, 'server')['redis_version']}"


def redis_policy(settings: Settings) -> str:
    """Redis never evicts a notification."""
    policy = str(_redis_info(settings, "memory").get("maxmemory_policy"))
    if policy not in {"volatile-lfu", "volatile-lru", "volatile-ttl", "noeviction"}:
        raise Ailment(
            f"maxmemory-policy {policy} can evict notifications, which delays jobs", "set maxmemory-policy volatile-lfu"
        )
    return policy


def model(settings: Settings) -> str:
    """The default model is published, and its production version passes the one loader."""
    from ai_platform.models.registry.aliases import PRODUCTION
    from ai_platform.predictions.catalog.versions import VersionSource

    name = settings.models.default
    _query(settings, "SELECT 1")
    source = VersionSource.of(settings, "doctor")
    try:
        named = [alias for alias in source.aliases() if (alias.model, alias.name) == (name, PRODUCTION)]
        if not named:
            raise Ailment(f"no model {name!r} is published", "run `ai-platform train`")
        numbers = [target.version for target in named[0].targets]
        forms = {source.pool.get((name, number)).served.form for number in numbers}
    except PlatformError as error:
        raise Ailment(error.detail, "check the trusted keys folder, or publish the model again") from error
    finally:
        source.close()
    shown = " and ".join(map(str, numbers))
    return f"{name} version {shown}, verified, {' and '.join(sorted(forms))}"


def workers(settings: Settings) -> str:
    """At least one worker process sends heartbeats."""
    from ai_platform.jobs import statements

    row = _query(settings, statements.HEALTH, {"lease": timedelta(seconds=settings.jobs.lease_seconds)})[0]
    if not row["alive"]:
        raise Ailment(
            "no worker sends heartbeats; jobs wait", "run `ai-platform up`, or `ai-platform worker` and `sweeper`"
        )
    return f"{row['alive']} alive, {row['queued']} jobs queued, {row['running']} running"


def jobs(settings: Settings) -> str:
    """All invariants of the jobs hold."""
    from ai_platform.jobs.invariants import INVARIANTS, broken
    from ai_platform.storage.postgres import Database

    found = _asked(lambda: broken(Database.of(settings), settings.jobs))
    if found:
        names = "; ".join(f"{INVARIANTS[name][0]} ({len(ids)} or more do not)" for name, ids in found.items())
        raise Ailment(names, "keep the database as it is, and report it with the output of this command")
    return f"{len(INVARIANTS)} invariants hold"


def _query(settings: Settings, statement: str, parameters: dict[str, object] | None = None) -> list[dict[str, object]]:
    from ai_platform.storage.postgres import Database, translated

    def ask() -> list[dict[str, object]]:
        with Database.of(settings).connect("doctor") as connection, translated():
            return connection.execute(statement, parameters).fetchall()

    return _asked(ask)


def _asked(ask: Callable[[], Found]) -> Found:
    try:
        return ask()
    except InvalidSettings as error:
        raise Ailment(error.detail, "run `ai-platform up`, or set AI_PLATFORM_DATABASE_URL") from error
    except PlatformError as error:
        raise Ailment(error.detail, "is it running, and is AI_PLATFORM_DATABASE_URL right?") from error


def _redis_info(settings: Settings, section: str) -> dict[str, object]:
    import redis.exceptions

    from ai_platform.storage.redis import Redis

    try:
        info: dict[str, object] = Redis.of(settings).client().info(section)
    except InvalidSettings as error:
        raise Ailment(error.detail, "run `ai-platform up`, or set AI_PLATFORM_REDIS_URL") from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise Ailment(type(error).__name__, "is Redis running, and is AI_PLATFORM_REDIS_URL right?") from error
    return info
