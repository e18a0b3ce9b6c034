"""The stock design that the job benchmarks compare with: FastAPI, Celery prefork, the db+postgresql result backend.

As the many templates have it: a Pydantic body, one task a request, scikit-learn in the task, the result polled.
`BENCH_BROKER`, `BENCH_BACKEND` and `BENCH_MODEL` say where Redis, PostgreSQL and the pickled model are.
"""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI
from pydantic import BaseModel, Field

celery = Celery("stock", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BACKEND"])
celery.conf.update(
    task_default_queue="stock",
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    database_engine_options={"pool_pre_ping": True},
)
_model: Any = None


def model() -> Any:
    """The estimator, unpickled once a process."""
    global _model
    if _model is None:
        _model = pickle.loads(Path(os.environ["BENCH_MODEL"]).read_bytes())
    return _model


@celery.task(name="stock.predict")  # type: ignore[untyped-decorator]
def predict_task(features: list[float]) -> dict[str, Any]:
    estimator = model()
    return {
        "prediction": int(estimator.predict([features])[0]),
        "probabilities": estimator.predict_proba([features])[0].tolist(),
    }


class Body(BaseModel):
    """The body as the stock design checks it."""

    features: list[float] = Field(min_length=4, max_length=4)


app = FastAPI()


@app.post("/noop")
async def noop(body: Body) -> dict[str, str]:
    """Validates the same body and does nothing: what accepting is measured against."""
    return {"status": "ok", "features": str(len(body.features))}


@app.post("/predict/async", status_code=202)
def predict_async(body: Body) -> dict[str, str]:
    """Publishes one task."""
    return {"task_id": predict_task.delay(body.features).id}


@app.get("/result/{task_id}")
def result(task_id: str) -> dict[str, Any]:
    """What the result backend says; PENDING also for an id that never was."""
    found = AsyncResult(task_id, app=celery)
    return {"status": found.status, "result": found.result if found.successful() else None}


if __name__ == "__main__":  # publishes so many tasks, without an API between
    with celery.producer_pool.acquire(block=True) as producer:
        for _ in range(int(sys.argv[1])):
            predict_task.apply_async(([5.1, 3.5, 1.4, 0.2],), producer=producer)
