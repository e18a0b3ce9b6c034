"""What every codec does, tried with each: a new one adds its bodies here, and nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ai_platform.codecs.catalogue import CODECS
from ai_platform.codecs.codec import Codec
from ai_platform.codecs.problem_details import PROBLEMS
from ai_platform.errors import InvalidInput, InvalidJson, PlatformError
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.predictions.ids import new_text
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.serving.decoding import Decoding, decode
from ai_platform.settings import Settings

ROW = [5.1, 3.5, 1.4, 0.2]


@dataclass(frozen=True)
class Bodies:
    """Requests to iris in one protocol.

    Attributes:
        one: the row.
        many: a body of so many rows.
        no_syntax: bytes that are not of the protocol.
        no_input: of the protocol, and no input of the model.
    """

    one: bytes
    many: bytes
    no_syntax: tuple[bytes, ...]
    no_input: tuple[bytes, ...]


MANY = 1_000
BODIES = {
    "json": Bodies(
        one=b'{"features": [5.1, 3.5, 1.4, 0.2]}',
        many=b'{"instances": [' + b", ".join([b"[5.1, 3.5, 1.4, 0.2]"] * MANY) + b"]}",
        no_syntax=(b"", b"{", b"\xff", b'{"features": [1, 2, 3, NaN]}', b'{"features": 1, "features": 2}'),
        no_input=(b"{}", b"[]", b'{"features": [1, 2, 3]}', b'{"instances": [[1, 2, 3, "4"]]}'),
    )
}


@pytest.fixture(scope="module")
def iris_prepared(module_settings: Settings) -> Iterator[PreparedModel]:
    directory = ModelDirectory.of(module_settings, "test")
    directory.start()
    try:
        assert directory.settle(20)
        yield directory.current("iris")
    finally:
        directory.stop()


every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


def test_every_codec_has_its_bodies_here_and_a_name_of_its_own() -> None:
    assert [codec.name for codec in CODECS] == list(BODIES)


@every_codec
def test_one_row_and_many_are_read_as_they_were_sent(codec: Codec, iris_prepared: PreparedModel) -> None:
    bodies = BODIES[codec.name]
    for body, rows in ((bodies.one, 1), (bodies.many, MANY)):
        instances = decode(codec, iris_prepared, body)
        assert instances.rows == [ROW] * rows
        assert codec.decode_slow(iris_prepared, body) == instances
        assert asyncio.run(Decoding().decoded(codec, iris_prepared, body)) == instances
        quick = codec.decode_fast(iris_prepared, body)
        assert quick is None or quick == instances


@every_codec
def test_what_is_not_of_the_protocol_and_what_is_no_input_are_told_apart(
    codec: Codec, iris_prepared: PreparedModel
) -> None:
    bodies = BODIES[codec.name]
    for wrong, error in ((bodies.no_syntax, InvalidJson), (bodies.no_input, InvalidInput)):
        for body in wrong:
            assert codec.decode_fast(iris_prepared, body) is None, body
            with pytest.raises(error):
                decode(codec, iris_prepared, body)


@every_codec
def test_an_answer_has_its_id_and_can_be_kept_without_it(codec: Codec, iris_prepared: PreparedModel) -> None:
    instances = decode(codec, iris_prepared, BODIES[codec.name].one)
    encoded = codec.encode(iris_prepared, iris_prepared.predict(instances, "sync"), instances)
    first, second = new_text(), new_text()
    for number, other in ((first, second), (second, first)):
        answer = codec.with_id(encoded, number)
        assert number.encode() in answer
        assert other.encode() not in answer


@every_codec
def test_every_fact_has_a_form_that_tells_no_inside(codec: Codec) -> None:
    for code in PROBLEMS:
        fact = type("Fact", (PlatformError,), {"code": code})("what is wrong")
        answer = codec.error(fact)
        assert 400 <= answer.status < 600
        assert b"what is wrong" in answer.body
        assert "content-type" in answer.headers
        assert b"Traceback" not in answer.body
