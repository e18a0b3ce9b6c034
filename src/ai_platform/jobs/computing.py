"""From claimed jobs to outcomes: one vectorised call for all, and when that raises, each by itself."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from ai_platform.errors import ModelFailed
from ai_platform.inputs.instances import Instances
from ai_platform.predictions.model.answer import with_id
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.runtimes.base.runtime import Outputs
from ai_platform.telemetry import logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this process holds.

    Attributes:
        id: the job's id.
        model: its model.
        version: its pinned version.
        instances: its checked input.
        attempt: the fence: only this attempt may finish it.
        hard_limit: seconds that the attempt may take.
    """

    id: uuid.UUID
    model: str
    version: int
    instances: Instances
    attempt: int
    hard_limit: float = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a claimed job.

    Attributes:
        job: the job.
        result: the encoded result object, or None.
        code: why it failed, or None.
        detail: the same as a sentence.
    """

    job: Claimed
    result: str | None = None
    code: str | None = None
    detail: str | None = None


def compute(prepared: PreparedModel, group: list[Claimed], before_each: Callable[[], None]) -> list[Outcome]:
    """Outcomes of jobs of one version, aligned with them; raises for no input and no model.

    Args:
        prepared: the version.
        group: the jobs, at least one.
        before_each: called before each job that is computed by itself, which may take long.
    """
    if len(group) > 1:
        try:
            return _together(prepared, group)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is one row's; the next lines find whose
            log.info("a batch raised; its jobs run one by one", jobs=len(group), why=type(error).__name__)
    outcomes = []
    for job in group:
        before_each()
        outcomes.append(_alone(prepared, job))
    return outcomes


def _together(prepared: PreparedModel, group: list[Claimed]) -> list[Outcome]:
    rows = [row for job in group for row in job.instances.rows]
    outputs = prepared.predict(Instances(rows, single=False), "job")
    outcomes, start = [], 0
    for job in group:
        stop = start + len(job.instances.rows)
        outcomes.append(_succeeded(prepared, job, outputs.slice(start, stop)))
        start = stop
    return outcomes


def _alone(prepared: PreparedModel, job: Claimed) -> Outcome:
    try:
        return _succeeded(prepared, job, prepared.predict(job.instances, "job"))
    except ModelFailed as error:
        return Outcome(job, code=error.code, detail=error.detail)
    except Exception:  # outputs that fit no signature: the version's fault, and this job's alone
        log.exception("no result could be made of a model's outputs", model=job.model, version=job.version)
        return Outcome(job, code=ModelFailed.code, detail="the model's outputs do not fit its signature")


def _succeeded(prepared: PreparedModel, job: Claimed, outputs: Outputs) -> Outcome:
    body = prepared.encoder.encode(outputs, single=job.instances.single)
    return Outcome(job, result=with_id(body, str(job.id)).decode())
