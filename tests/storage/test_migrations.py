"""A database from before a migration becomes what a new one is."""

import psycopg

from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.schema import migrate, newest_revision

# Table, column as revision 0006 first had it, column since 0007.
RENAMED = (
    ("jobs", "alone", "isolated"),
    ("jobs", "rung_at", "notified_at"),
    ("workers", "beat_at", "heartbeat_at"),
    ("api_keys", "rows_a_second", "rows_per_second"),
    ("model_versions", "proof", "validation"),
)
FUNCTION = "SELECT pg_get_functiondef('grant_platform_roles_0004'::regproc)"
COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"


def test_a_database_with_the_former_names_of_columns_gets_the_present_ones(settings: Settings) -> None:
    with psycopg.connect(settings.database_dsn, autocommit=True) as connection:
        wanted = sorted(connection.execute(COLUMNS).fetchall())
        body = str(connection.execute(FUNCTION).fetchone())
        for table, former, present in RENAMED:
            connection.execute(f"ALTER TABLE {table} RENAME COLUMN {present} TO {former}")
        connection.execute(
            "DO $$ BEGIN EXECUTE replace(replace(pg_get_functiondef('grant_platform_roles_0004'::regproc),"
            " 'isolated', 'alone'), 'notified_at', 'rung_at'); END $$"
        )
        connection.execute("UPDATE alembic_version SET version_num = '0006'")
        assert sorted(connection.execute(COLUMNS).fetchall()) != wanted
        migrate(Database.of(settings))
        assert sorted(connection.execute(COLUMNS).fetchall()) == wanted
        assert str(connection.execute(FUNCTION).fetchone()) == body
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (newest_revision(),)
        connection.execute("SELECT grant_platform_roles()")
