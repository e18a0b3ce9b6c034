"""What is to become a job, the caller who waits for it, and what the caller is told."""

import asyncio
import uuid
from dataclasses import dataclass, field

from ai_platform.predictions.ids import new_id


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is committed.

    Attributes:
        id: its id.
        model: its model.
        version: the version that it is pinned to.
        replayed: whether an earlier request with the same Idempotency-Key made it.
        state: where it stands, `queued` unless it was replayed.
    """

    id: uuid.UUID
    model: str
    version: int
    replayed: bool = False
    state: str = "queued"


@dataclass(eq=False, slots=True)
class Submission:
    """A job before its commit.

    Attributes:
        owner: whose it is.
        model: its model.
        version: the version that it is pinned to.
        input: its instances as JSON.
        key: the Idempotency-Key, if one was sent.
        request_hash: what must be equal when the key comes again.
        hard_limit: seconds that one attempt may take.
        expires_in: seconds after which it expires if it is queued then; None for never.
        retry_of: the job that it tries again.
        waiting_jobs: queued jobs that its owner may have; None for the settings' bound.
        outcome: what its caller waits for.
        id: its id, should it become a job.
    """

    owner: str
    model: str
    version: int
    input: str
    key: str | None
    request_hash: bytes
    hard_limit: float
    expires_in: float | None
    retry_of: uuid.UUID | None
    waiting_jobs: int | None
    outcome: "asyncio.Future[Accepted]"
    id: uuid.UUID = field(default_factory=new_id)

    def resolve(self, accepted: Accepted) -> None:
        """Tell the caller of its job, unless it was told something or has left."""
        if not self.outcome.done():
            self.outcome.set_result(accepted)

    def fail(self, error: Exception) -> None:
        """Tell the caller that there is none, unless it was told something or has left."""
        if not self.outcome.done():
            self.outcome.set_exception(error)


def first_of_each_key(group: list[Submission]) -> list[Submission]:
    """A group without those whose owner and Idempotency-Key come earlier in it."""
    seen: set[tuple[str, str]] = set()
    first = []
    for submission in group:
        if submission.key is not None:
            if (submission.owner, submission.key) in seen:
                continue
            seen.add((submission.owner, submission.key))
        first.append(submission)
    return first
