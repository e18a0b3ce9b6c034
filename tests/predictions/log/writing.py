"""A writer of the prediction log whose rounds a test makes itself, and what stands in the log."""

from typing import Any
from uuid import UUID

import psycopg

from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.predictions.ids import new_id
from ai_platform.predictions.log.buffer import Buffer, LogRecord
from ai_platform.predictions.log.writer import LogWriter
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import LimitSettings, Settings
from ai_platform.storage.postgres import Database

DECODER = InstanceDecoder(Signature(inputs=(Feature(name="x", type="number"),)), LimitSettings())


class Writing:
    """A buffer with its writer, whose rounds a test makes itself."""

    def __init__(self, settings: Settings, buffer: Buffer | None = None) -> None:
        self.buffer = Buffer() if buffer is None else buffer
        self.writer = LogWriter(Database.of(settings), settings.prediction_log, "test", self.buffer)
        self.noted: list[UUID] = []

    def note(self, count: int = 1, **more: Any) -> None:
        for _ in range(count):
            noted = LogRecord(
                new_id(), "iris", 1, "anonymous", None, "a request", 1, 0.001, "miss", None, b'{"features":[1]}',
                b'{"prediction":"a\\\\b\\n"}', DECODER,
            )._replace(**more)  # fmt: skip
            if self.buffer.put(noted):
                self.noted.append(noted.id)

    def write(self) -> None:
        while self.writer.write():
            pass

    def close(self) -> None:
        self.writer.stop()


def logged(connection: psycopg.Connection) -> set[UUID]:
    return {row[0] for row in connection.execute("SELECT id FROM prediction_log")}


def count(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM prediction_log").fetchone()
    assert row is not None
    return int(row[0])


def written(writing: Writing) -> bool:
    try:
        writing.write()
    except psycopg.OperationalError:
        return False
    return True
