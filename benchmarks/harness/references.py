"""What the platform is compared with: bare ASGI, a FastAPI route that does nothing, and the naive design.

Applications for uvicorn. `BENCH_ANSWER` names a file with the bytes that the constant ones answer; `BENCH_MODELS` is
JSON, name of a model to the pickle of its estimator.
"""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI, Response
from pydantic import BaseModel

from benchmarks.harness.constant import constant

_ANSWER = Path(os.environ["BENCH_ANSWER"]).read_bytes()
_ESTIMATORS = {
    name: pickle.loads(Path(path).read_bytes()) for name, path in json.loads(os.environ["BENCH_MODELS"]).items()
}
# Of the size of the platform's answer.
bare = constant(_ANSWER)
noop = FastAPI()


@noop.post("/predict/")
async def answer_at_once() -> Response:
    """FastAPI at its least: no body is parsed, no answer validated."""
    return Response(_ANSWER, media_type="application/json")


class Named(BaseModel):
    """One instance by name, as the usual design checks it."""

    features: dict[str, float | str | None]


usual = FastAPI()


# `async def`, which favours it: a plain function would pay for a thread with each request.
@usual.post("/models/{model}/predict")
async def predict_named(model: str, body: Named) -> dict[str, Any]:
    """The usual design for a table with names: a DataFrame of one row."""
    estimator, is_of_texts = _ESTIMATORS[model]
    row = [body.features["text"]] if is_of_texts else pd.DataFrame([body.features])
    prediction = estimator.predict(row)[0]
    answer: dict[str, Any] = {"prediction": prediction if isinstance(prediction, str) else prediction.item()}
    if hasattr(estimator, "predict_proba"):
        answer["probabilities"] = estimator.predict_proba(row)[0].tolist()
    return answer


class One(BaseModel):
    """One instance, as the naive design checks it."""

    features: list[float]


class Many(BaseModel):
    """Several instances, as the naive design checks them."""

    instances: list[list[float]]


naive = FastAPI()


# `async def`, which favours it: a plain function would pay for a thread with each request.
@naive.post("/{model}/one")
async def predict_one(model: str, body: One) -> dict[str, Any]:
    """The naive design: scikit-learn called twice for a row."""
    estimator = _ESTIMATORS[model]
    prediction = estimator.predict([body.features])[0]
    return {"prediction": int(prediction), "probabilities": estimator.predict_proba([body.features])[0].tolist()}


@naive.post("/{model}/many")
async def predict_many(model: str, body: Many) -> dict[str, Any]:
    """The naive design: scikit-learn called twice for all rows together."""
    estimator = _ESTIMATORS[model]
    predictions = estimator.predict(body.instances)
    return {
        "predictions": predictions.tolist(),
        "probabilities": estimator.predict_proba(body.instances).tolist(),
    }
