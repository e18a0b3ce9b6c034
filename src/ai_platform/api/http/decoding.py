"""Decoding a request's body without holding up the loop: a large one takes the careful way beside it."""

import asyncio

from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.inputs.instances import Instances

# The careful way takes about a millisecond for as much.
LARGE_BYTES = 8_192
# At a time in one process; they share the interpreter with the loop, so that more would be no faster.
MOST_BESIDE = 2


class Decoding:
    """Decodes the bodies of one process."""

    def __init__(self) -> None:
        self._beside = asyncio.Semaphore(MOST_BESIDE)

    async def decoded(self, decoder: InstanceDecoder, body: bytes) -> Instances:
        """The instances of a body.

        Raises:
            InvalidJson: it is not strict JSON.
            InvalidInput: it is not an input of the model.
        """
        if len(body) <= LARGE_BYTES:
            return decoder.decode(body)
        found = decoder.at_once(body)
        if found is not None:
            return found
        async with self._beside:
            return await asyncio.to_thread(decoder.carefully, body)
