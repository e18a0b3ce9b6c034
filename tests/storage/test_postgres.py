"""Connections in which no wait is endless, against a server that is stopped and cannot see its own timeouts."""

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

from ai_platform.errors import StorageUnavailable
from ai_platform.local.embedded.servers import Server, Servers
from ai_platform.settings import Settings
from ai_platform.storage import postgres
from ai_platform.storage.postgres import Database


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"database": settings.database.model_copy(update={"statement_seconds": 0.5})})


@pytest.fixture
def server(servers: Servers) -> Iterator[Server]:
    assert servers.postgres is not None
    yield servers.postgres
    servers.postgres.resume()


def test_a_statement_to_a_stopped_server_is_given_up_and_its_connection_closed(
    impatient: Settings, server: Server
) -> None:
    with Database.of(impatient).connect("test") as connection:
        server.pause()
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        assert 0.9 < time.monotonic() - begun < 3
        assert connection.closed


def test_a_pool_gives_up_on_a_stopped_server_and_works_again_after_it(impatient: Settings, server: Server) -> None:
    with Database.of(impatient).pool("test") as pool:
        with pool.connection() as connection:
            connection.execute("SELECT 1")
        server.pause()
        with pytest.raises(StorageUnavailable), postgres.translated(), pool.connection() as connection:
            connection.execute("SELECT 1")
        server.resume()
        assert _eventually_one(pool)


def test_a_long_statement_is_ended_by_the_server_itself(impatient: Settings) -> None:
    with Database.of(impatient).connect("test") as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")
        row = connection.execute("SELECT 1 AS one").fetchone()  # the connection has survived it
        assert row == {"one": 1}


def test_an_asynchronous_statement_to_a_stopped_server_is_given_up(impatient: Settings, server: Server) -> None:
    async def ask() -> float:
        async with Database.of(impatient).async_pool("test") as pool:
            await pool.wait()
            server.pause()
            begun = time.monotonic()
            with pytest.raises(psycopg.OperationalError):
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
            return time.monotonic() - begun

    assert 0.9 < asyncio.run(ask()) < 3


def test_a_cancelled_statement_to_a_stopped_server_ends_at_once(settings: Settings, server: Server) -> None:
    async def ask() -> float:
        async with Database.of(settings).async_pool("test") as pool:
            await pool.wait()
            server.pause()
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3), pool.connection() as connection:
                    await connection.execute("SELECT 1")
            return time.monotonic() - begun

    assert asyncio.run(ask()) < 2


def test_a_server_that_is_not_there_is_a_fact_of_our_own(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": SecretStr("postgresql://x:y@127.0.0.1:9/z")})
    with pytest.raises(StorageUnavailable):
        Database.of(nowhere).connect("test")


def _eventually_one(pool: object) -> bool:
    limit = time.monotonic() + 15
    while time.monotonic() < limit:
        try:
            with pool.connection() as connection:  # type: ignore[attr-defined]
                return bool(connection.execute("SELECT 1 AS one").fetchone()["one"] == 1)
        except psycopg.OperationalError:
            continue
    return False
