"""The platform's own JSON: `features` or `instances` in, a result object out, RFC 9457 for what is wrong."""

from ai_platform.codecs.codec import ErrorAnswer
from ai_platform.codecs.problem_details import problem
from ai_platform.errors import PlatformError
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.model.answer import with_id
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs


class PlatformJson:
    """The codec of `/predict` and `/models/{name}/predict`; jobs keep the result objects that it writes."""

    name = "json"
    content_type = "application/json"

    def decode_fast(self, prepared: PreparedModel, body: bytes) -> Instances | None:
        """What the typed decoder covers."""
        return prepared.decoder.at_once(body)

    def decode_slow(self, prepared: PreparedModel, body: bytes) -> Instances:
        """Strict JSON, checked value by value."""
        return prepared.decoder.carefully(body)

    def encode(self, prepared: PreparedModel, outputs: Outputs, instances: Instances) -> bytes:
        """`AnswerEncoder.encode` of the model."""
        return prepared.encoder.encode(outputs, single=instances.single)

    # The result object with its id as the last member.
    with_id = staticmethod(with_id)

    def error(self, error: PlatformError) -> ErrorAnswer:
        """Problem details."""
        return problem(error)


JSON = PlatformJson()
