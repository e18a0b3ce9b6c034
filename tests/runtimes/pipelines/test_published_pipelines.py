"""Random pipelines published on a running platform, with a sample and without, and asked over HTTP.

The short form has four; `PIPELINES=40 make stories ARGS=tests/runtimes/pipelines` asks for more.
"""

import os
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_platform.models.loading.signing import signer
from ai_platform.models.publishing import Publisher
from ai_platform.models.registry.manifest import Draft
from ai_platform.runtimes.base.runtime import Outputs
from ai_platform.runtimes.base.signature import Signature
from ai_platform.runtimes.samples import from_frame
from ai_platform.settings import Settings
from harness import Iris, Platform
from runtimes.pipelines.comparison import admitted, unlike
from runtimes.pipelines.generator import Trained, trained

pytestmark = pytest.mark.slow

FIRST = 9_000
PIPELINES = int(os.environ.get("PIPELINES", "4"))
ROWS, ROWS_PER_REQUEST = 2_000, 500


@pytest.fixture(scope="module")
def site(module_settings: Settings) -> Iterator[Platform]:
    with Platform.running(module_settings, "api") as running:
        yield running


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sampled", [False, True], ids=["without a sample", "with a sample"])
@pytest.mark.parametrize("seed", range(FIRST, FIRST + PIPELINES))
def test_a_published_pipeline_answers_over_http_as_the_library_does(
    site: Platform, iris: Iris, seed: int, *, sampled: bool
) -> None:
    model = trained(seed)
    name = f"random-{seed}-{'s' if sampled else 'n'}"
    artifact = site.settings.data_dir / f"{name}.pkl"
    artifact.write_bytes(pickle.dumps(model.estimator))
    sample = from_frame(model.frame) if sampled else None
    draft = Draft(
        model=name,
        format="sklearn-pickle",
        inputs=None if sample is None else sample.inputs,
        rows=[] if sample is None else sample.rows,
    )
    held = signer(iris.signing_key, iris.keys)
    made = Publisher.of(site.settings).publish(artifact, draft, by="test", signer=held)
    assert faults(site, model, name, made.manifest.signature, seed) == [], (model.name, made.report.form)


def faults(site: Platform, model: Trained, name: str, signature: Signature, seed: int) -> list[str]:
    fresh = model.fresh(np.random.default_rng([seed, 1]), ROWS)
    fresh = fresh[admitted(fresh, signature)]
    rows = [[None if pd.isna(value) else value for value in row] for row in fresh.astype(object).to_numpy().tolist()]
    found: dict[str, list[Any]] = {"predictions": [], "probabilities": []}
    for start in range(0, len(rows), ROWS_PER_REQUEST):
        sent = {"instances": rows[start : start + ROWS_PER_REQUEST]}
        answer = site.client.post(f"/models/{name}/predict", json=sent)
        assert answer.status_code == 200, answer.text[:300]
        for key in found:
            found[key] += answer.json().get(key) or []
    takes = model.takes(fresh)
    probabilities = model.estimator.predict_proba(takes) if hasattr(model.estimator, "predict_proba") else None
    ours = Outputs(found["predictions"], None, found["probabilities"] or None)
    return unlike(ours, model.estimator.predict(takes), probabilities, signature) if rows else []
