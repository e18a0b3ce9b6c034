"""A served model with what one prediction needs beside it: its decoder, and what it costs."""

import time
from dataclasses import dataclass

from ai_platform.errors import ModelFailed
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.inputs.instances import Instances
from ai_platform.models.loader import ServedModel
from ai_platform.predictions.answer import AnswerEncoder
from ai_platform.predictions.placement import Placement, measure
from ai_platform.runtimes.catalogue import RELEASES_LOCK
from ai_platform.runtimes.runtime import Outputs
from ai_platform.settings import LimitSettings, NonFinite
from ai_platform.telemetry import PREDICTION_SECONDS, PREDICTIONS, Tally, prediction_tally


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model that can answer.

    Attributes:
        served: the verified model.
        decoder: reads its bodies.
        encoder: writes its answers.
        placement: what its calls cost, measured at load, and where they are computed.
        tally: of its calls on the event loop.
    """

    served: ServedModel
    decoder: InstanceDecoder
    encoder: AnswerEncoder
    placement: Placement
    tally: Tally

    @property
    def cost_seconds(self) -> float:
        """What a call of one row costs."""
        return self.placement.seconds(1)

    def predict_here(self, instances: Instances) -> Outputs:
        """Run the model on the event loop; as `predict`, but for how it is counted.

        Raises:
            ModelFailed: the model raised, or returned another number of outputs.
        """
        begun = time.perf_counter()
        outputs = self._run(instances)
        self.tally.add(time.perf_counter() - begun, len(outputs.predictions))
        return outputs

    def predict(self, instances: Instances, way: str) -> Outputs:
        """Run the model, in any thread.

        Args:
            instances: n rows.
            way: `sync` or `job`, for the metrics.

        Returns:
            n aligned outputs.

        Raises:
            ModelFailed: the model raised, or returned another number of outputs.
        """
        begun = time.perf_counter()
        outputs = self._run(instances)
        labels = (self.served.name, str(self.served.version))
        PREDICTION_SECONDS.labels(*labels).observe(time.perf_counter() - begun)
        PREDICTIONS.labels(*labels, way).inc(len(outputs))
        return outputs

    def _run(self, instances: Instances) -> Outputs:
        try:
            outputs = self.served.loaded.predict(instances.rows)
            misfit = outputs.misfit(len(instances.rows))
        except Exception as error:
            raise ModelFailed(f"the model raised {type(error).__name__} for this input") from error
        if misfit is not None:
            raise ModelFailed(misfit)
        return outputs


def prepare(
    served: ServedModel, limits: LimitSettings, *, apart: bool = False, non_finite: NonFinite = "null"
) -> PreparedModel:
    """Build the decoder, warm the model with its golden rows, and measure what calls cost.

    Args:
        served: the verified model.
        limits: most rows, longest strings.
        non_finite: what becomes of outputs that are not finite (`models.non_finite`).
        apart: whether costly calls are computed apart from an event loop, so that it matters what holds the lock.
    """
    releases_lock = not apart or served.form == "compiled" or served.manifest.format in RELEASES_LOCK
    row = served.manifest.golden.rows[0]
    placement = measure(served.loaded, row, most_rows=limits.rows, releases_lock=releases_lock)
    signature = served.manifest.signature
    return PreparedModel(
        served,
        InstanceDecoder(signature, limits),
        AnswerEncoder(served.name, served.version, signature, non_finite),
        placement,
        prediction_tally(served.name, served.version),
    )
