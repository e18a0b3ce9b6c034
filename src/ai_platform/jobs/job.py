"""A job as callers see it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

FINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Job:
    """One durable prediction.

    Attributes:
        id: UUID version 7.
        model: the model's name.
        version: pinned when the job was accepted.
        state: queued, running, succeeded, failed, cancelled or expired.
        attempt: tries so far.
        created_at: when it was accepted; all times are the database's.
        started_at: when its first attempt began.
        finished_at: when it reached its final state.
        result: the result object, once succeeded.
        error_code: why it failed: `model_error`, `model_unavailable`, `worker_lost` or `timeout`.
        error_detail: the same as a sentence.
        expires_at: when it expires if it is queued then; None for never.
        retry_of: the job that this one repeats.
    """

    id: uuid.UUID
    model: str
    version: int
    state: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    error_code: str | None
    error_detail: str | None
    expires_at: datetime | None
    retry_of: uuid.UUID | None

    @property
    def final(self) -> bool:
        """Whether it can never change again."""
        return self.state in FINAL

    @property
    def stage(self) -> int:
        """How far it has come, a number that only grows: the id of the event that tells of it."""
        return stage(self.state, self.attempt)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Job":
        """A job from a row of `jobs`."""
        return cls(**{name: row[name] for name in cls.__slots__})


def stage(state: str, attempt: int) -> int:
    """Queued before attempt k+1 is 2k, running attempt k is 2k-1, and the end comes after both."""
    if state == "running":
        return 2 * attempt - 1
    return 2 * attempt + (1 if state in FINAL else 0)


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed."""

    code: str
    detail: str | None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the HTTP contract shows it; times are the database's."""

    id: uuid.UUID
    status: Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
    model: str
    version: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    expires_at: datetime | msgspec.UnsetType = msgspec.UNSET
    retry_of: uuid.UUID | msgspec.UnsetType = msgspec.UNSET
    result: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    error: JobError | msgspec.UnsetType = msgspec.UNSET


def job_view(job: Job) -> JobView:
    """A job as callers see it."""
    return JobView(
        id=job.id,
        status=job.state,  # type: ignore[arg-type]  # the database admits no other
        model=job.model,
        version=job.version,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        attempts=job.attempt,
        expires_at=job.expires_at or msgspec.UNSET,
        retry_of=job.retry_of or msgspec.UNSET,
        result=msgspec.UNSET if job.result is None else job.result,
        error=msgspec.UNSET if job.error_code is None else JobError(job.error_code, job.error_detail),
    )
