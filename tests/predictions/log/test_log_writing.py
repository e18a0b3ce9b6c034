"""The prediction log on real PostgreSQL: written once, through outages; kept for its days and no longer."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from ai_platform.local.embedded.servers import Server, Servers
from ai_platform.predictions.ids import new_id
from ai_platform.predictions.log import writer
from ai_platform.predictions.log.buffer import Buffer
from ai_platform.predictions.log.reading import newest
from ai_platform.predictions.log.retention import LogRetention
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.telemetry import LOOP_FAILURES, PREDICTION_LOG_DROPPED, PREDICTION_LOG_WRITTEN
from harness import eventually
from predictions.log.writing import Writing, count, logged, written
from tcp_proxy import TcpProxy


@pytest.fixture
def impatient(module_settings: Settings, owner: psycopg.Connection) -> Settings:
    """Settings with an empty log, and short time limits."""
    owner.execute("TRUNCATE prediction_log")
    database = module_settings.database.model_copy(update={"statement_seconds": 0.2, "connect_seconds": 1})
    return module_settings.model_copy(update={"database": database})


@pytest.fixture(scope="module")
def owner(module_settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(module_settings.database_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def paused(servers: Servers) -> Iterator[Server]:
    assert servers.postgres is not None
    servers.postgres.pause()
    yield servers.postgres
    servers.postgres.resume()


Make = Callable[..., Writing]


@pytest.fixture
def make(impatient: Settings) -> Iterator[Make]:
    """Makes writers with settings that differ, and closes them whatever becomes of the test."""
    with contextlib.ExitStack() as stack:

        def made(url: str | None = None, rows_per_second: int = 100_000, buffer: Buffer | None = None) -> Writing:
            log = impatient.prediction_log.model_copy(update={"rows_per_second": rows_per_second})
            database_url = impatient.database_url if url is None else SecretStr(url)
            changed = impatient.model_copy(update={"prediction_log": log, "database_url": database_url})
            found = Writing(changed, buffer)
            stack.callback(found.close)
            return found

        yield made


@pytest.fixture
def writing(make: Make) -> Writing:
    return make()


def test_rows_stand_in_the_log_as_they_were_noted(writing: Writing, impatient: Settings) -> None:
    begun = datetime.now(UTC)
    writing.note(2)
    writing.note(rows=7, cache=None, code="model_error", output=None)
    writing.write()
    with Database.of(impatient).connect("test") as connection:
        rows = newest(connection, limit=10)
        assert [row.id for row in newest(connection, limit=2)] == [row.id for row in rows[:2]]
        assert {row.id for row in newest(connection, limit=10, model="iris", version=1)} == {row.id for row in rows}
        assert newest(connection, limit=10, model="iris", version=2) == []
    assert [row.id for row in rows] == sorted(writing.noted, reverse=True)
    (failed,) = (row for row in rows if row.code)
    others = [row for row in rows if not row.code]
    assert (failed.rows, failed.code, failed.output, failed.cache) == (7, "model_error", None, None)
    for row in others:
        assert row.output == {"prediction": "a\\b\n"}
        assert row.input == {"rows": [[1.0]], "single": True}
        assert (row.sample, row.request_id) == (0.01, "a request")
        assert begun - timedelta(milliseconds=2) <= row.at <= datetime.now(UTC)


def test_with_postgresql_paused_noting_goes_on_and_what_fits_is_written_afterwards(
    make: Make, owner: psycopg.Connection, paused: Server
) -> None:
    room = 2_000
    writing = make(buffer=Buffer(most_rows=room))
    writing.note(500)
    failures = LOOP_FAILURES.labels("prediction-log")._value.get()
    writing.writer.start()
    eventually(lambda: LOOP_FAILURES.labels("prediction-log")._value.get() > failures, 20, "a round has failed")
    begun = time.monotonic()
    writing.note(room + 100)
    assert time.monotonic() - begun < 5  # which waits for nobody
    assert len(writing.buffer) == room
    paused.resume()
    eventually(lambda: count(owner) >= len(writing.noted), 30, "the log is written again")
    assert logged(owner) == set(writing.noted)


def test_a_copy_whose_commit_was_never_heard_of_is_not_written_twice(
    impatient: Settings, make: Make, owner: psycopg.Connection
) -> None:
    rows = 500
    with TcpProxy(impatient.database_dsn) as proxy:
        writing = make(proxy.url)
        before = PREDICTION_LOG_WRITTEN._value.get()
        writing.note(rows)
        cut = proxy.cut_answer(rb"COPY [1-9]")
        with pytest.raises(psycopg.OperationalError):
            writing.write()
        assert cut.wait(5)
        assert count(owner) == rows
        writing.note()
        writing.write()
        writing.write()
        assert PREDICTION_LOG_WRITTEN._value.get() == before + rows + 1
        assert count(owner) == rows + 1
        assert logged(owner) == set(writing.noted)
        writing.close()


def test_a_copy_that_broke_half_way_is_written_whole_by_the_next_one(
    impatient: Settings, make: Make, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TcpProxy(impatient.database_dsn) as proxy:
        writing = make(proxy.url)
        writing.note()
        writing.write()
        writing.note(500, output=b'"' + b"x" * 1_000 + b'"')
        calls = itertools.count(1)  # first each row is formatted, then each is sent
        monkeypatch.setattr(writer._Pause, "after", lambda _pause, _size: proxy.reset() if next(calls) == 750 else None)
        with pytest.raises(psycopg.OperationalError):
            writing.write()
        monkeypatch.undo()
        assert count(owner) == 1
        eventually(lambda: written(writing), 10, "it is written again")
        assert logged(owner) == set(writing.noted)
        writing.close()


def test_what_postgresql_refuses_is_dropped_and_counted_and_holds_nothing_up(
    writing: Writing, owner: psycopg.Connection
) -> None:
    before = PREDICTION_LOG_DROPPED.labels("refused")._value.get()
    writing.note(rows=0)
    writing.note()
    with pytest.raises(psycopg.errors.CheckViolation):
        writing.write()
    assert PREDICTION_LOG_DROPPED.labels("refused")._value.get() == before + 2
    writing.note()
    writing.write()
    assert logged(owner) == {writing.noted[-1]}


def test_no_more_rows_a_second_are_written_than_was_asked_for(
    make: Make, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WRITE_SECONDS", 0.2)
    writing = make(rows_per_second=50)
    writing.note(1_000)
    begun = time.monotonic()
    writing.writer.start()
    eventually(lambda: count(owner) >= 20, 10, "some are written")
    assert count(owner) <= 10 * (1 + (time.monotonic() - begun) / 0.2)
    writing.close()
    assert count(owner) == 1_000  # the end of a process does not wait for the next second


def test_only_what_is_too_old_is_deleted(writing: Writing, impatient: Settings, owner: psycopg.Connection) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(days=7, minutes=1)] * 25 + [timedelta(days=400), timedelta(days=6, hours=23), timedelta()]
    for age in ages:
        writing.note(id=id_of(now - age))
    writing.write()
    retention = LogRetention(impatient.prediction_log.keep_days)
    with Database.of(impatient).connect("test") as connection:
        assert not retention.delete_old(connection, rows=10)
    assert logged(owner) == set(writing.noted[-2:])


def test_a_long_cleaning_is_broken_off_and_gone_on_with(
    writing: Writing, impatient: Settings, owner: psycopg.Connection
) -> None:
    for _ in range(40):
        writing.note(id=id_of(datetime.now(UTC) - timedelta(days=8)))
    writing.write()
    retention = LogRetention(impatient.prediction_log.keep_days)
    rounds = 0
    with Database.of(impatient).connect("test") as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ai_platform.predictions.log.retention.LONGEST_CLEANING_SECONDS", 0)
        while retention.delete_old(connection, rows=10):
            rounds += 1
    assert count(owner) == 0
    assert rounds == 4


def test_a_cleaning_that_fails_raises_nothing_and_is_counted(
    writing: Writing, impatient: Settings, owner: psycopg.Connection
) -> None:
    failures = LOOP_FAILURES.labels("prediction-log-retention")._value.get()
    writing.note(id=id_of(datetime.now(UTC) - timedelta(days=8)))
    writing.write()
    with owner.transaction(), Database.of(impatient).pool("test") as pool:
        owner.execute("LOCK TABLE prediction_log")
        retention = LogRetention(impatient.prediction_log.keep_days)
        retention.clean(pool)
        assert LOOP_FAILURES.labels("prediction-log-retention")._value.get() == failures + 1
    assert count(owner) == 1


def id_of(at: datetime) -> UUID:
    """An id as it was given out then."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | new_id().int & ((1 << 80) - 1))
