"""What every codec does: the interface that faces and the serving layer know, whatever the protocol."""

from typing import NamedTuple, Protocol

from ai_platform.errors import PlatformError
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs


class ErrorAnswer(NamedTuple):
    """A fact in a protocol's form.

    Attributes:
        status: the status of HTTP.
        headers: with names in lower case; the body's length is not among them.
        body: bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Codec(Protocol):
    """One protocol: how its bytes become instances, and how outputs and facts become its bytes.

    A codec has no state of a request, and is used by many at once.

    Attributes:
        name: tells codecs apart, in cached answers too.
        content_type: of requests and answers.
    """

    name: str
    content_type: str

    def decode_fast(self, prepared: PreparedModel, body: bytes) -> Instances | None:
        """The instances of a body, where that costs microseconds a kilobyte; None of any other body, right or wrong."""

    def decode_slow(self, prepared: PreparedModel, body: bytes) -> Instances:
        """The instances of any body; microseconds a value, in whichever thread.

        Raises:
            InvalidJson: it is not of the protocol's syntax.
            InvalidInput: it is not an input of the model.
        """

    def encode(self, prepared: PreparedModel, outputs: Outputs, instances: Instances) -> bytes:
        """The answer without the prediction's id, as it may be cached.

        Raises:
            ModelFailed: an output has no form in the protocol.
        """

    def with_id(self, encoded: bytes, prediction_id: str) -> bytes:
        """An encoded answer with the id of its prediction."""

    def error(self, error: PlatformError) -> ErrorAnswer:
        """A fact as an answer."""
