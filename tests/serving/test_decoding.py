"""Where bodies are decoded: what is quick on the event loop, what is large and takes the careful way beside it."""

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from ai_platform.codecs.platform_json import JSON
from ai_platform.errors import InvalidInput, InvalidJson
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.inputs.instances import Instances
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.serving.decoding import LARGE_BYTES, MOST_BESIDE, Decoding
from ai_platform.settings import LimitSettings

pytestmark = pytest.mark.quick

NUMBERS = Signature(inputs=(Feature(name="size"), Feature(name="weight")))
# Whole numbers take the careful way, as escaped texts do, and more texts than a few.
WORDS = Signature(inputs=(Feature(name="size", type="integer"), Feature(name="colour", type="string")))


class Watched(InstanceDecoder):
    """Notes in which thread the careful way is taken, and how many take it at a time."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature, LimitSettings())
        self.threads: list[int] = []
        self.most = self._now = 0

    def carefully(self, body: bytes) -> Instances:
        self._now += 1
        self.most = max(self.most, self._now)
        self.threads.append(threading.get_ident())
        try:
            return super().carefully(body)
        finally:
            self._now -= 1


def body(row: list[Any], rows: int) -> bytes:
    return json.dumps({"instances": [row] * rows}).encode()


def read_by(decoder: InstanceDecoder) -> Any:
    """As much of a model as decoding looks at."""
    return SimpleNamespace(decoder=decoder)


def decoded(decoder: InstanceDecoder, content: bytes) -> Instances:
    async def decode() -> Instances:
        return await Decoding().decoded(JSON, read_by(decoder), content)

    return asyncio.run(decode())


@pytest.mark.parametrize("rows", [1, 1_000])
def test_numbers_are_decoded_on_the_loop_however_many(rows: int) -> None:
    decoder = Watched(NUMBERS)
    assert len(decoded(decoder, body([1.5, 2.5], rows)).rows) == rows
    assert decoder.threads == []


def test_a_few_words_are_decoded_on_the_loop_and_many_beside_it() -> None:
    decoder = Watched(WORDS)
    for rows, beside in ((2, False), (1_000, True)):
        content = body([2, "green"], rows)
        assert (len(content) > LARGE_BYTES) == beside
        assert decoded(decoder, content).rows == [[2, "green"]] * rows
        assert (decoder.threads.pop() != threading.get_ident()) == beside


@pytest.mark.parametrize(
    ("content", "error"),
    [(body([2, "x"], 900) + b"}", InvalidJson), (body([2, True], 900), InvalidInput)],
    ids=["no JSON", "wrong"],
)  # fmt: skip
def test_what_is_wrong_with_a_large_body_is_told_as_of_a_small_one(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decoded(Watched(WORDS), content)


def test_no_more_than_so_many_are_decoded_beside_the_loop_at_a_time() -> None:
    decoder, content = Watched(WORDS), body([2, "green"], 1_000)

    async def flood() -> list[Instances]:
        decoding = Decoding()
        return await asyncio.gather(*(decoding.decoded(JSON, read_by(decoder), content) for _ in range(12)))

    assert len(asyncio.run(flood())) == len(decoder.threads) == 12
    assert decoder.most <= MOST_BESIDE
