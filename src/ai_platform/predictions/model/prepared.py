"""A served model with what one prediction needs beside it: its decoder, and what it costs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ai_platform.errors import ArtifactRefused, ModelFailed, PlatformError
from ai_platform.inputs.decoder import InstanceDecoder
from ai_platform.inputs.instances import Instances
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.loader import ServedModel
from ai_platform.predictions.model.answer import AnswerEncoder
from ai_platform.predictions.model.placement import Placement, measure
from ai_platform.runtimes.base.runtime import LoadedModel, Outputs, Rows
from ai_platform.runtimes.catalogue import FORMATS
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
        note_failure: told why a call failed.
    """

    served: ServedModel
    decoder: InstanceDecoder
    encoder: AnswerEncoder
    placement: Placement
    tally: Tally
    note_failure: Callable[[str], None] = lambda _why: None

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
        except PlatformError:
            raise
        except Exception as error:
            why = f"the model raised {type(error).__name__} for this input"
            self.note_failure(why)
            raise ModelFailed(why) from error
        misfit = outputs.misfit(len(instances.rows))
        if misfit is not None:
            self.note_failure(misfit)
            raise ModelFailed(misfit)
        return outputs


def prepare(
    served: ServedModel,
    limits: LimitSettings,
    *,
    apart: bool = False,
    non_finite: NonFinite = "null",
    tried: LoadedModel | None = None,
    note_failure: Callable[[str], None] = lambda _why: None,
) -> PreparedModel:
    """Build the decoder, warm the model with its golden rows, and measure what calls cost.

    Args:
        served: the verified model.
        limits: most rows, longest strings.
        non_finite: what becomes of outputs that are not finite (`models.non_finite`).
        apart: whether costly calls are computed apart from an event loop, so that it matters what holds the lock.
        tried: the model in the process that tries it, where it is not to be called in this one.
        note_failure: told why a call failed.

    Raises:
        ArtifactRefused: it raises for its own rows, or gives another number of outputs.
    """
    releases_lock = not apart or served.form == "compiled" or FORMATS[served.manifest.format].format.releases_gil
    row = served.manifest.golden.rows[0]
    try:
        measured = _Counted(tried or served.loaded)
        placement = measure(measured, row, most_rows=limits.rows, releases_lock=releases_lock or tried is not None)
    except PlatformError:
        raise
    except BaseException as error:  # a model's code may raise anything, SystemExit too
        raise ArtifactRefused(f"it cannot predict its own rows: {error_text(error)}") from error
    if tried is not None:
        placement = replace(placement, loop_rows=0, apart="processes")
    signature = served.manifest.signature
    return PreparedModel(
        served,
        InstanceDecoder(signature, limits),
        AnswerEncoder(served.name, served.version, signature, non_finite),
        placement,
        prediction_tally(served.name, served.version),
        note_failure,
    )


class _Counted:
    """A model whose outputs are counted, because measuring throws them away."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def predict(self, rows: Rows) -> Outputs:
        outputs = self._loaded.predict(rows)
        misfit = outputs.misfit(len(rows))
        if misfit is not None:
            raise ValueError(misfit)
        return outputs
