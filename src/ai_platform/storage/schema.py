"""The schema's version: bringing a database to it, and telling where a database stands."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, pool, text
from sqlalchemy.exc import OperationalError

from ai_platform.errors import StorageUnavailable
from ai_platform.storage.postgres import Database

# Two migrations at once would both find no tables; whoever holds this lock goes first.
MIGRATION_LOCK = 0x0A1B_0001


def migrate(database: Database) -> tuple[str | None, str]:
    """Bring the database to the newest schema.

    Returns:
        The revision found and the one that stands now; equal when there was nothing to do.

    Raises:
        StorageUnavailable: PostgreSQL cannot be reached.
    """
    engine = create_engine(_sqlalchemy_url(database), poolclass=pool.NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()
            before = _current(connection)
            connection.commit()
            command.upgrade(_config(connection), "head")
            connection.commit()
            return before, newest_revision()
    except OperationalError as error:
        raise StorageUnavailable("PostgreSQL cannot be reached; is it running, and is the URL right?") from error
    finally:
        engine.dispose()


def current_revision(database: Database) -> str | None:
    """The revision at which the database stands; None for an empty one.

    Raises:
        StorageUnavailable: PostgreSQL cannot be reached.
    """
    engine = create_engine(_sqlalchemy_url(database), poolclass=pool.NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            return _current(connection)
    except OperationalError as error:
        raise StorageUnavailable("PostgreSQL cannot be reached; is it running, and is the URL right?") from error
    finally:
        engine.dispose()


def newest_revision() -> str:
    """The revision that this code needs."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    return head


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _sqlalchemy_url(database: Database) -> str:
    url = make_url(database.url).set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)
