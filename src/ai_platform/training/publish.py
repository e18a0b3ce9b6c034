"""The one call that ends a training script: a fitted estimator becomes the next version of a model."""

import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ai_platform.models.loading.signing import signer
from ai_platform.models.publishing import Published, Publisher
from ai_platform.models.registry.manifest import Draft
from ai_platform.runtimes.samples import from_frame
from ai_platform.settings import Settings, load
from ai_platform.training.current_user import current_user

if TYPE_CHECKING:
    import pandas as pd


def publish(
    estimator: Any,
    name: str,
    *,
    sample: "pd.DataFrame | None" = None,
    classes: tuple[str, ...] | None = None,
    metrics: dict[str, float] | None = None,
    alias: str | None = None,
    enforce_ranges: bool = False,
    extra: Literal["refuse", "ignore"] = "refuse",
    settings: Settings | None = None,
) -> Published:
    """Publish a fitted scikit-learn estimator or pipeline.

    Args:
        estimator: fitted, with `predict`.
        name: the model's name.
        sample: some rows of training data, with its columns; types, ranges and examples are read from it.
        classes: names of the classes, in the order of the estimator's own, where its own are not to be shown.
        metrics: name to value.
        alias: what shall name the version; without one, `production` does if nothing is production yet.
        enforce_ranges: whether values outside the sample's ranges are refused.
        extra: what becomes of names in an instance that training did not have.
        settings: the platform's settings; by default the environment's.

    Raises:
        ArtifactRefused: the estimator cannot be published; the sentence says why.
        InvalidSettings: no platform is named by the environment.
        StorageUnavailable: PostgreSQL is away.
    """
    settings = settings or load()
    read = None if sample is None else from_frame(sample)
    draft = Draft(
        model=name,
        format="sklearn-pickle",
        classes=classes,
        inputs=None if read is None else read.inputs,
        rows=[] if read is None else read.rows,
        metrics=metrics or {},
        enforce_ranges=enforce_ranges,
        extra=extra,
    )
    with tempfile.TemporaryDirectory(prefix="aip-training-") as folder:
        artifact = Path(folder) / "model.pkl"
        with artifact.open("wb") as file:
            pickle.dump(estimator, file, protocol=5)
        return Publisher.of(settings).publish(
            artifact,
            draft,
            by=current_user(),
            signer=signer(settings.signing_key_file, settings.trusted_keys_dir),
            alias=alias,
        )
