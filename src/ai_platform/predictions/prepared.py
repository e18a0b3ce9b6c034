"""A served model with what one prediction needs beside it: its decoder, and what it costs."""

import statistics
import time
from dataclasses import dataclass

from ai_platform.errors import ModelFailed
from ai_platform.models.loader import ServedModel
from ai_platform.predictions.answer import AnswerEncoder
from ai_platform.predictions.decoder import InstanceDecoder
from ai_platform.predictions.instances import Instances
from ai_platform.runtimes.runtime import Outputs
from ai_platform.settings import LimitSettings
from ai_platform.telemetry import PREDICTION_SECONDS, PREDICTIONS, Tally, prediction_tally

COST_ROUNDS = 7


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model that can answer.

    Attributes:
        served: the verified model.
        decoder: reads its bodies.
        encoder: writes its answers.
        cost_seconds: what one row costs, measured at load (median of 7).
        tally: of its calls on the event loop.
    """

    served: ServedModel
    decoder: InstanceDecoder
    encoder: AnswerEncoder
    cost_seconds: float
    tally: Tally

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
        except Exception as error:
            raise ModelFailed(f"the model raised {type(error).__name__} for this input") from error
        if len(outputs.predictions) != len(instances.rows):
            raise ModelFailed(f"the model gave {len(outputs)} outputs for {len(instances.rows)} rows")
        return outputs


def prepare(served: ServedModel, limits: LimitSettings) -> PreparedModel:
    """Build the decoder, warm the model with its golden rows, and measure what a row costs."""
    row = served.manifest.golden.rows[:1]
    times = []
    for _ in range(COST_ROUNDS):
        begun = time.perf_counter()
        served.loaded.predict(row)
        times.append(time.perf_counter() - begun)
    signature = served.manifest.signature
    return PreparedModel(
        served,
        InstanceDecoder(signature, limits),
        AnswerEncoder(served.name, served.version, signature),
        statistics.median(times),
        prediction_tally(served.name, served.version),
    )
