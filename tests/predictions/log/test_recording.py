"""Which predictions are noted, and the bounds of what waits: no server is needed for either."""

import math
import random
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from ai_platform.access.principal import ANONYMOUS
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.predictions.ids import new_id
from ai_platform.predictions.log.buffer import Buffer, LogRecord
from ai_platform.predictions.log.recorder import PredictionLog
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.settings import DatabaseSettings, LimitSettings, PredictionLogSettings
from ai_platform.storage.postgres import Database
from ai_platform.telemetry import PREDICTION_LOG_CUT, PREDICTION_LOG_DROPPED

pytestmark = pytest.mark.quick

SEED = 20
DECODER = InstanceDecoder(Signature(inputs=(Feature(name="x", type="number"),)), LimitSettings())
PREPARED: Any = SimpleNamespace(served=SimpleNamespace(name="iris", version=3), decoder=DECODER)
BODY = b'{"features":[1]}'
OUTPUT = b'{"prediction":1}'
NOWHERE = Database("postgresql://nobody@127.0.0.1:9/none", DatabaseSettings())


def predict(log: PredictionLog, *, body: bytes = BODY, output: bytes | None = OUTPUT, code: str | None = None) -> None:
    if log.is_due():
        log.keep(
            PREPARED, body, output,
            prediction_id=new_id(), rows=1, begun=time.perf_counter(), principal=ANONYMOUS, cache="bypass", code=code,
        )  # fmt: skip


def chosen(sample: float, predictions: int) -> list[int]:
    """The numbers of those that are noted, of so many."""
    log = PredictionLog(NOWHERE, PredictionLogSettings(sample=sample), "test", random.Random(SEED))
    found = []
    for number in range(predictions):
        before = len(log.buffer)
        predict(log)
        if len(log.buffer) > before:
            found.append(number)
            log.buffer.take()
    return found


@pytest.mark.parametrize("sample", [0.5, 0.01])
def test_each_prediction_is_noted_with_the_chance_that_was_asked_for(sample: float) -> None:
    predictions = 20_000
    found = chosen(sample, predictions)
    deviation = math.sqrt(predictions * sample * (1 - sample))
    assert abs(len(found) - predictions * sample) < 4 * deviation
    # Without memory: the gap has the geometric distribution's spread, which an "every nth" has not.
    gaps = [after - before for before, after in pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert spread == pytest.approx(math.sqrt(1 - sample) / sample, rel=0.2)
    for parity in (0, 1):
        share = sum(1 for number in found if number % 2 == parity) / (predictions / 2)
        assert abs(share - sample) < 4 * deviation / predictions * math.sqrt(2)


def test_a_share_of_one_notes_all_and_a_share_of_zero_nothing() -> None:
    assert chosen(1.0, 500) == list(range(500))
    assert chosen(0.0, 500) == []
    idle = PredictionLog(NOWHERE, PredictionLogSettings(sample=0), "test")
    idle.start()
    idle.stop()


def test_what_is_noted_says_all_that_is_known() -> None:
    log = PredictionLog(NOWHERE, PredictionLogSettings(sample=1, content="all"), "test")
    predict(log)
    noted = log.buffer.take()
    assert noted is not None
    assert (noted.model, noted.version, noted.owner, noted.rows) == ("iris", 3, "anonymous", 1)
    assert (noted.body, noted.output, noted.cache, noted.code) == (BODY, OUTPUT, "bypass", None)
    assert 0 <= noted.seconds < 60


@pytest.mark.parametrize(
    ("content", "kept"), [("all", (BODY, OUTPUT)), ("outputs", (None, OUTPUT)), ("none", (None,) * 2)]
)
def test_no_more_is_kept_than_was_asked_for(content: str, kept: tuple[bytes | None, bytes | None]) -> None:
    log = PredictionLog(NOWHERE, PredictionLogSettings(sample=1, content=content), "test")
    predict(log)
    noted = log.buffer.take()
    assert noted is not None
    assert (noted.body, noted.output) == kept


def test_inputs_are_not_kept_unless_somebody_asks_for_it() -> None:
    assert PredictionLogSettings().content == "outputs"


def test_what_is_too_large_is_left_out_and_counted() -> None:
    log = PredictionLog(NOWHERE, PredictionLogSettings(sample=1, content="all", row_bytes=100), "test")
    before = {part: _value(PREDICTION_LOG_CUT.labels(part)) for part in ("input", "output")}
    predict(log, body=b"{" + b" " * 100, output=b"[" + b"1," * 100)
    noted = log.buffer.take()
    assert noted is not None
    assert (noted.body, noted.output, noted.rows) == (None, None, 1)
    for part, counted in before.items():
        assert _value(PREDICTION_LOG_CUT.labels(part)) == counted + 1


def test_a_full_buffer_drops_and_counts_and_takes_again_once_there_is_room() -> None:
    log = PredictionLog(NOWHERE, PredictionLogSettings(sample=1), "test")
    log.buffer = Buffer(most_rows=10)
    before = _value(PREDICTION_LOG_DROPPED.labels("full"))
    for _ in range(25):
        predict(log)
    assert len(log.buffer) == 10
    assert _value(PREDICTION_LOG_DROPPED.labels("full")) == before + 15
    log.buffer.take()
    predict(log)
    assert len(log.buffer) == 10
    assert _value(PREDICTION_LOG_DROPPED.labels("full")) == before + 15


def test_a_buffer_holds_no_more_bytes_than_it_may() -> None:
    buffer = Buffer(most_bytes=100)
    large = waiting(b"x" * 60)
    assert buffer.put(large)
    assert not buffer.put(large)
    assert buffer.put(waiting(b"x" * 40))
    assert not buffer.put(waiting(b"x"))
    assert buffer.take() == large
    assert buffer.put(large)


def waiting(output: bytes) -> LogRecord:
    return LogRecord(new_id(), "iris", 1, "anonymous", None, None, 1, 0.0, "bypass", None, None, output, DECODER)


def _value(counter: Any) -> float:
    return float(counter._value.get())
