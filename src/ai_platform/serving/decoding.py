"""Decoding a body without holding up the loop: a large one that must be read slowly is read beside it."""

import asyncio

from ai_platform.codecs.codec import Codec
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.model.prepared import PreparedModel

# Slow decoding takes about a millisecond for as much.
LARGE_BYTES = 8_192
# At a time in one process; they share the GIL with the loop, so that more would be no faster.
MOST_BESIDE = 2


class Decoding:
    """Decodes the bodies of one process."""

    def __init__(self) -> None:
        self._beside = asyncio.Semaphore(MOST_BESIDE)

    async def decoded(self, codec: Codec, prepared: PreparedModel, body: bytes) -> Instances:
        """The instances of a body.

        Raises:
            InvalidJson: it is not of the protocol's syntax.
            InvalidInput: it is not an input of the model.
        """
        if len(body) <= LARGE_BYTES:
            return decode(codec, prepared, body)
        found = codec.decode_fast(prepared, body)
        if found is not None:
            return found
        async with self._beside:
            return await asyncio.to_thread(codec.decode_slow, prepared, body)


def decode(codec: Codec, prepared: PreparedModel, body: bytes) -> Instances:
    """The instances of a body of at most `LARGE_BYTES`, here and now.

    Raises:
        InvalidJson: it is not of the protocol's syntax.
        InvalidInput: it is not an input of the model.
    """
    found = codec.decode_fast(prepared, body)
    return codec.decode_slow(prepared, body) if found is None else found
