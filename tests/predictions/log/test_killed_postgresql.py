"""The prediction log and a PostgreSQL that is killed, or away when a process ends: what takes seconds."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from ai_platform import settings as configuration
from ai_platform.local.embedded.servers import Server, running_servers
from ai_platform.predictions.log import writer
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.schema import migrate
from ai_platform.telemetry import PREDICTION_LOG_DROPPED
from harness import eventually
from predictions.log.writing import Writing, logged, written

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Server, Settings]]:
    with running_servers(with_valkey=False) as servers:
        assert servers.postgres is not None
        settings = configuration.load(database_url=servers.postgres_url)
        migrate(Database.of(settings))
        yield servers.postgres, settings


def test_a_server_that_was_killed_and_comes_back_gets_what_waits(own: tuple[Server, Settings]) -> None:
    server, settings = own
    writing = Writing(settings)
    writing.note(10)
    writing.write()
    server.kill()
    writing.note(10)
    with pytest.raises(psycopg.OperationalError):
        writing.write()
    server.start()
    eventually(lambda: written(writing), 20, "it is written again")
    with psycopg.connect(settings.database_dsn, autocommit=True) as connection:
        assert logged(connection) == set(writing.noted)
    writing.close()


def test_what_cannot_be_written_at_the_end_of_a_process_is_counted(
    own: tuple[Server, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, settings = own
    monkeypatch.setattr(writer, "STOP_SECONDS", 0.1)
    before = PREDICTION_LOG_DROPPED.labels("stopped")._value.get()
    writing = Writing(settings)
    writing.note(5)
    server.pause()
    try:
        writing.writer.start()
        begun = time.monotonic()
        writing.close()
        assert time.monotonic() - begun < 10
    finally:
        server.resume()
    assert PREDICTION_LOG_DROPPED.labels("stopped")._value.get() == before + 5
