"""Durable predictions, the workers that make them, and the prediction log."""

import os
from typing import Literal

from pydantic import Field, model_validator

from ai_platform.settings.group import Group, Seconds


class JobSettings(Group):
    """Durable predictions."""

    lease_seconds: Seconds = Field(
        8.0, description="seconds without a heartbeat after which a worker's jobs are rescued"
    )
    heartbeat_seconds: Seconds = Field(1.0, description="seconds between two heartbeats of a worker process")
    sweep_seconds: Seconds = Field(1.0, description="seconds between two rounds of the sweeper")
    renotify_seconds: Seconds = Field(10.0, description="seconds a job may wait before it is notified of again")
    hard_limit_seconds: Seconds = Field(60.0, description="longest run of one attempt in seconds; then it is killed")
    max_attempts: int = Field(
        5, ge=1, le=100, description="tries a job has before it fails with `worker_lost` or `timeout`"
    )
    claim_batch_size: int = Field(
        256, ge=1, le=4_096, description="most jobs that one claim takes and computes together"
    )
    max_queued_per_owner: int = Field(
        10_000, ge=1, le=1_000_000_000, description="queued jobs that one owner may have; more get 429"
    )
    max_queued_jobs: int = Field(
        100_000, ge=1, le=1_000_000_000, description="queued jobs that the platform takes on; more get 503"
    )
    longest_lifetime_seconds: Seconds = Field(86_400, description="longest `?expires_in=` of a job in seconds")
    idempotency_hours: float = Field(
        24.0, ge=0.001, le=87_600, description="hours for which an Idempotency-Key is kept"
    )
    keep_days: float = Field(7.0, ge=0.001, le=3_650, description="days for which finished jobs are kept")

    @model_validator(mode="after")
    def _jobs_outlive_their_keys(self) -> "JobSettings":
        if self.keep_days * 24 < self.idempotency_hours:
            raise ValueError("keep_days must cover idempotency_hours: a key must not outlive its job")
        return self


class WorkerSettings(Group):
    """The Celery worker."""

    concurrency: int = Field(
        default_factory=lambda: min(os.cpu_count() or 1, 4),
        ge=1,
        le=256,
        description="child processes that compute jobs",
    )
    max_tasks_per_child: int = Field(
        10_000, ge=1, le=1_000_000_000, description="notifications after which a child is replaced, against leaks"
    )


class PredictionLogSettings(Group):
    """A sample of the synchronous predictions, kept in PostgreSQL."""

    sample: float = Field(
        0.01, ge=0, le=1, description="share of synchronous predictions that is kept; 1 for all, 0 for none"
    )
    content: Literal["all", "outputs", "none"] = Field(
        "outputs", description="`all` keeps inputs too, which may be about people; `none` keeps neither"
    )
    row_bytes: int = Field(
        16_384,
        ge=0,
        le=1_073_741_824,
        description="largest input, and largest output, that is kept, in bytes; larger ones are left out",
    )
    rows_per_second: int = Field(
        100, ge=1, le=100_000, description="most predictions that one process logs in a second, against a full disk"
    )
    keep_days: float = Field(7.0, ge=0.001, le=3_650, description="days for which they are kept")
