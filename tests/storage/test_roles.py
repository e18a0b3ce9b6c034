"""The group roles on real PostgreSQL: each may do what its part of the platform does, and nothing beside it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from ai_platform.jobs import statements
from ai_platform.local.embedded.servers import running_servers
from ai_platform.predictions.log import retention, writer
from ai_platform.settings import DatabaseSettings, Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.schema import migrate, newest_revision
from api_in_thread import live
from harness import SAMPLE

ROLES = ("aip_api", "aip_worker", "aip_readonly", "aip_backup")
# A table that a later migration adds is granted there, or withheld, and then named here.
TABLES = {
    "alembic_version", "alias_targets", "aliases", "api_keys", "artifact_chunks", "artifacts", "audit_log",
    "idempotency_keys", "jobs", "model_versions", "models", "prediction_log", "serving_processes", "serving_versions",
    "workers",
}  # fmt: skip
INTERVALS = {"lease", "keep", "lately", "renotify", "key_lifetime"}
OF_THE_API = {
    "ACCEPT", "KEPT_KEYS", "CANCEL", "READ", "READ_INPUT", "STATES_OF", "LIST", "BACKLOG", "FINISHED_LATELY",
    "COUNTS", "HEALTH",
}  # fmt: skip
ALL = {name for name, value in vars(statements).items() if name.isupper() and name[0] != "_" and isinstance(value, str)}


@pytest.fixture(scope="module")
def owner(module_settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(module_settings.database_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def acting(owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The connection, to be given a role; nothing that a test does there stays."""
    owner.execute("BEGIN")
    yield owner
    owner.execute("ROLLBACK")


def act_as(connection: psycopg.Connection, role: str) -> None:
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_statement_of_jobs_may_be_run_by_the_part_that_runs_it(acting: psycopg.Connection, name: str) -> None:
    statement = getattr(statements, name)
    act_as(acting, "aip_api" if name in OF_THE_API else "aip_worker")
    names = re.findall(r"%\((\w+)\)s", statement)
    nothing = {name: timedelta(1) if name in INTERVALS else None for name in names}
    assert acting.execute("EXPLAIN " + statement, nothing).fetchall()  # which checks the rights, too


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("aip_api", "DELETE FROM jobs"),
        ("aip_api", "UPDATE jobs SET result = '{}'"),
        ("aip_api", "UPDATE jobs SET owner = 'other'"),
        ("aip_api", "UPDATE jobs SET attempt = 0"),
        ("aip_api", "DELETE FROM idempotency_keys"),
        ("aip_api", "UPDATE workers SET heartbeat_at = now()"),
        ("aip_api", "UPDATE model_versions SET sha256 = sha256"),
        ("aip_api", "DELETE FROM model_versions"),
        ("aip_api", "DELETE FROM artifacts"),
        ("aip_api", "UPDATE artifact_chunks SET bytes = ''"),
        ("aip_api", "UPDATE audit_log SET actor = 'nobody'"),
        ("aip_api", "DELETE FROM audit_log"),
        ("aip_api", "SELECT * FROM prediction_log"),
        ("aip_api", "SELECT id FROM prediction_log"),
        ("aip_api", "UPDATE prediction_log SET owner = 'nobody'"),
        ("aip_api", "DELETE FROM prediction_log"),
        ("aip_api", "SELECT grant_platform_roles()"),
        ("aip_worker", "INSERT INTO jobs (id, owner, model) VALUES (gen_random_uuid(), 'anonymous', 'iris')"),
        ("aip_worker", "UPDATE jobs SET input = '{}'"),
        ("aip_worker", "UPDATE jobs SET owner = 'other'"),
        ("aip_worker", "INSERT INTO models (name) VALUES ('mine')"),
        ("aip_worker", "UPDATE alias_targets SET version = 1"),
        ("aip_worker", "INSERT INTO artifacts (sha256, size) VALUES ('', 0)"),
        ("aip_worker", "SELECT * FROM audit_log"),
        ("aip_worker", "SELECT input FROM prediction_log"),
        ("aip_worker", "SELECT output FROM prediction_log"),
        ("aip_worker", "UPDATE prediction_log SET owner = 'nobody'"),
        ("aip_readonly", "SELECT input FROM jobs"),
        ("aip_readonly", "SELECT result FROM jobs"),
        ("aip_readonly", "SELECT input FROM prediction_log"),
        ("aip_readonly", "SELECT output FROM prediction_log"),
        ("aip_readonly", "SELECT * FROM artifact_chunks"),
        ("aip_readonly", "SELECT * FROM idempotency_keys"),
        ("aip_readonly", "UPDATE jobs SET state = 'queued'"),
        *((role, "CREATE TABLE mine ()") for role in ROLES),
        *((role, "CREATE SCHEMA mine") for role in ROLES),
        *((role, "TRUNCATE jobs") for role in ROLES),
        *((role, "DROP TABLE jobs") for role in ROLES),
        *((role, "CREATE ROLE mine") for role in ROLES),
        *(("aip_backup", f"DELETE FROM {table}") for table in sorted(TABLES - {"api_keys"})),
    ],
)  # fmt: skip
def test_no_role_may_do_more(acting: psycopg.Connection, role: str, statement: str) -> None:
    act_as(acting, role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        acting.execute(statement)


@pytest.mark.parametrize("role", ["aip_worker", "aip_readonly"])
def test_keys_are_for_the_api_alone(acting: psycopg.Connection, role: str) -> None:
    if acting.execute("SELECT to_regclass('api_keys')").fetchone() == (None,):
        acting.execute("CREATE TABLE api_keys (expires_at int, last_used_at int, revoked_at int, revoked_by int)")
        acting.execute("SELECT grant_platform_roles()")
    act_as(acting, "aip_api")
    acting.execute("SELECT * FROM api_keys")
    act_as(acting, role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        acting.execute("SELECT * FROM api_keys")


def test_the_sweeper_deletes_files_that_nobody_uses_with_all_their_parts(acting: psycopg.Connection) -> None:
    act_as(acting, "aip_api")
    unused = b"u" * 32
    acting.execute("INSERT INTO artifacts (sha256, size) VALUES (%s, 1)", (unused,))
    acting.execute("INSERT INTO artifact_chunks VALUES (%s, 0, 'x')", (unused,))
    acting.execute("UPDATE artifacts SET size = 1, created_at = now() WHERE sha256 = %s", (unused,))
    act_as(acting, "aip_worker")
    assert acting.execute("DELETE FROM artifacts WHERE sha256 = %s", (unused,)).rowcount == 1
    assert acting.execute("SELECT 1 FROM artifact_chunks WHERE sha256 = %s", (unused,)).fetchall() == []


def test_the_prediction_log_is_written_by_the_api_and_emptied_by_the_sweeper(acting: psycopg.Connection) -> None:
    act_as(acting, "aip_api")
    with acting.cursor() as cursor, cursor.copy(writer.COPY) as copy:
        copy.write_row(
            (UUID(int=7 << 76), datetime.now(UTC), "iris", 1, "a", None, None, 1, 0.1, "hit", None, 1, "1", "2")
        )
    act_as(acting, "aip_worker")
    assert acting.execute(retention.DELETE_OLD, {"keep": timedelta(days=1), "limit": 10}).rowcount == 1


def test_a_dashboard_sees_how_jobs_fare(acting: psycopg.Connection) -> None:
    act_as(acting, "aip_readonly")
    acting.execute("SELECT state, count(*), min(created_at) FROM jobs GROUP BY state")
    acting.execute("SELECT * FROM workers, models, model_versions, aliases, audit_log")
    acting.execute("SELECT model, version, count(*), avg(seconds) FROM prediction_log GROUP BY model, version")


def test_a_backup_reads_every_table_also_those_that_are_still_to_come(acting: psycopg.Connection) -> None:
    acting.execute("CREATE TABLE later (id int GENERATED ALWAYS AS IDENTITY)")
    tables = [row[0] for row in acting.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    act_as(acting, "aip_backup")
    for table in tables:
        acting.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
    acting.execute("SELECT last_value FROM later_id_seq")


def test_every_table_was_thought_of(owner: psycopg.Connection) -> None:
    tables = {row[0] for row in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables <= TABLES, "grant the new table in its migration, or withhold it, and name it in TABLES"


def test_an_api_whose_user_has_the_role_alone_does_its_work(
    module_settings: Settings, owner: psycopg.Connection
) -> None:
    log = module_settings.prediction_log.model_copy(update={"sample": 1.0})
    login = _login(owner, module_settings, "aip_api")
    with live(module_settings.model_copy(update={"database_url": login, "prediction_log": log})) as url:
        assert httpx.post(f"{url}/predict/", json=SAMPLE).status_code == 200
        accepted = httpx.post(f"{url}/predict/async", json=SAMPLE, headers={"Idempotency-Key": "under-a-role"})
        assert accepted.status_code == 202, accepted.text
        job = accepted.headers["location"]
        assert httpx.get(f"{url}/jobs").json()["jobs"][0]["id"] in job
        assert httpx.post(f"{url}{job}/cancel").status_code == 200
        assert httpx.post(f"{url}{job}/retry").status_code == 202
        assert httpx.get(f"{url}/health").json()["postgres"]["status"] == "ok"
        assert "aip_jobs{" in httpx.get(f"{url}/metrics").text
    assert owner.execute("SELECT model, owner FROM prediction_log").fetchall() == [("iris", "anonymous")]


def test_an_owner_who_may_make_no_role_migrates_all_the_same_and_is_granted_later() -> None:
    with running_servers() as fresh, psycopg.connect(fresh.postgres_url, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE plain LOGIN NOCREATEROLE PASSWORD 'only-of-this-test'")
        superuser.execute("CREATE DATABASE theirs OWNER plain")
        url = _url(fresh.postgres_url, "plain", "only-of-this-test", "theirs")
        assert migrate(Database(url, DatabaseSettings()))[1] == newest_revision()
        with psycopg.connect(url, autocommit=True) as theirs:
            repeated = theirs.execute("SELECT grant_platform_roles()").fetchone()
            assert repeated == (list(ROLES),)
            for role in ROLES:
                superuser.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            for _ in range(2):
                assert theirs.execute("SELECT grant_platform_roles()").fetchone() == ([],)
            granted = theirs.execute("SELECT has_table_privilege('aip_api', 'jobs', 'INSERT')").fetchone()
            assert granted == (True,)


def _login(owner: psycopg.Connection, settings: Settings, role: str) -> SecretStr:
    name, password = f"login_{role}", "only-of-this-test"
    owner.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
    owner.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
            sql.Identifier(name), sql.Literal(password), sql.Identifier(role)
        )
    )
    return SecretStr(_url(settings.database_dsn, name, password, ""))


def _url(url: str, user: str, password: str, database: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(netloc=f"{user}:{password}@{host}", path=f"/{database}" if database else parts.path)
    )
