"""Which predictions are noted, and how a request leaves one: a countdown, and for the few that are due an append."""

import math
import random
import sys
import time
from uuid import UUID

from ai_platform.access.principal import Principal
from ai_platform.predictions.log.buffer import Buffer, LogRecord
from ai_platform.predictions.log.writer import LogWriter
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.settings import PredictionLogSettings
from ai_platform.storage.postgres import Database
from ai_platform.telemetry import PREDICTION_LOG_CUT, PREDICTION_LOG_DROPPED, REQUEST_ID

NEVER = sys.maxsize


class PredictionLog:
    """A sample of the synchronous predictions of one process; written in the background, and no request waits for it.

    Attributes:
        countdown: predictions until the next one that is noted, that one included; drawn from a geometric
            distribution, so that each is noted with the same chance, whatever was noted before it.
        buffer: what is noted and not yet written.

    Args:
        database: where they are kept.
        wanted: the share, what is kept, and the bounds.
        name: of the process, for `pg_stat_activity`.
        draws: uniform numbers, for tests that need the same ones again.
    """

    def __init__(
        self, database: Database, wanted: PredictionLogSettings, name: str, draws: random.Random | None = None
    ) -> None:
        self._sample = wanted.sample
        self._keep_input = wanted.content == "all"
        self._keep_output = wanted.content != "none"
        self._row_bytes = wanted.row_bytes
        self._draws = draws or random.Random()  # noqa: S311  # chooses a sample, keeps no secret
        self.buffer = Buffer()
        self._writer = LogWriter(database, wanted, name, self.buffer) if wanted.sample else None
        self._full = PREDICTION_LOG_DROPPED.labels("full")
        self.countdown = self._draw()

    def start(self) -> None:
        """Begin to write what is noted; with a share of 0 nothing is started."""
        if self._writer is not None:
            self._writer.start()

    def stop(self) -> None:
        """Write what was noted, within two seconds; what could not be written by then is counted and lost."""
        if self._writer is not None:
            self._writer.stop()

    def is_due(self) -> bool:
        """Count one prediction, and say whether it is one of those that are kept."""
        self.countdown -= 1
        if self.countdown:
            return False
        self.countdown = self._draw()
        return True

    def keep(  # each is one thing that only the caller knows
        self,
        prepared: PreparedModel,
        body: bytes,
        output: bytes | None,
        *,
        prediction_id: UUID,
        rows: int,
        begun: float,
        principal: Principal,
        cache: str | None = None,
        code: str | None = None,
    ) -> None:
        """Keep a prediction that is due. Raises nothing, and waits for nothing.

        Args:
            prepared: the version that answered.
            body: the request's body.
            output: the encoded result object without its id; None when the model failed.
            prediction_id: of the answer.
            rows: instances in the body.
            begun: when the service took it up, by `time.perf_counter`.
            principal: who asked.
            cache: `hit`, `miss` or `bypass`.
            code: of the error, when the model failed.
        """
        seconds = time.perf_counter() - begun
        served = prepared.served
        noted = LogRecord(
            prediction_id, served.name, served.version, principal.owner, principal.key_id, REQUEST_ID.get(), rows,
            seconds, cache, code, self._fitting("input", body if self._keep_input else None),
            self._fitting("output", output if self._keep_output else None), prepared.decoder,
        )  # fmt: skip
        if not self.buffer.put(noted):
            self._full.inc()

    def _fitting(self, part: str, data: bytes | None) -> bytes | None:
        if data is not None and len(data) > self._row_bytes:
            PREDICTION_LOG_CUT.labels(part).inc()
            return None
        return data

    def _draw(self) -> int:
        """Trials up to the first success, each of chance `sample`: the inverse of the geometric distribution."""
        if self._sample >= 1:
            return 1
        if self._sample <= 0:
            return NEVER
        return int(math.log(1.0 - self._draws.random()) / math.log1p(-self._sample)) + 1
