"""The state machine driven by Hypothesis on real PostgreSQL, beside a model in Python of what must be.

A whole run is one transaction, so that the database's clock stands still and moves only when a rule moves it: by
shifting every time that is not final. The transaction is rolled back at the end. Ids of jobs are numbers in order:
random ones, within one millisecond, would let the same run claim other jobs when Hypothesis repeats it. Runs at once of
several connections are the business of tests/chaos.
"""

import itertools
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ai_platform.jobs import statements
from ai_platform.jobs.invariants import INVARIANTS
from ai_platform.jobs.job import FINAL
from job_table import JobTable

RUNS = int(os.environ.get("STATE_MACHINE_RUNS", "25"))
STEPS = 50
# Making a failing run shorter takes minutes; `make state-machine` does it.
PHASES = list(hypothesis.Phase) if "STATE_MACHINE_RUNS" in os.environ else [hypothesis.Phase.generate]
LEASE, HARD_LIMIT, RENOTIFY, KEY_LIFETIME = 8.0, 60.0, 10.0, 24 * 3600.0
OWNERS = ("ann", "bob")
WORKERS = ("w0", "w1", "w2", "w3")
TIMED = frozenset({"no_dead_lease_is_kept", "no_queued_job_is_forgotten"})

# All invariants that do not depend on the sweeper having run lately, in one round trip.
UNTIMED = " UNION ALL ".join(
    f"SELECT '{name}' AS name, id::text AS id FROM ({query}) AS {name}"
    for name, (_sentence, query) in INVARIANTS.items()
    if name not in TIMED
)
SHIFT_JOBS = """
UPDATE jobs SET run_after = run_after - %(by)s, notified_at = greatest(notified_at - %(by)s, to_timestamp(0)),
    expires_at = expires_at - %(by)s, lease_until = lease_until - %(by)s, started_at = started_at - %(by)s,
    created_at = created_at - %(by)s
WHERE finished_at IS NULL
"""
SHIFT_WORKERS = "UPDATE workers SET heartbeat_at = heartbeat_at - %(by)s"
SHIFT_KEYS = "UPDATE idempotency_keys SET expires_at = expires_at - %(by)s"


@dataclass
class Expected:
    """What the model knows of one job; times are seconds on the model's clock."""

    id: uuid.UUID
    owner: str
    max_attempts: int
    run_after: float
    notified_at: float
    state: str = "queued"
    attempt: int = 0
    isolated: bool = False
    expires_at: float | None = None
    lease_owner: str | None = None
    lease_until: float = 0.0
    error_code: str | None = None
    final_row: dict[str, Any] | None = None
    fences: list[int] = field(default_factory=list)


class JobsMachine(RuleBasedStateMachine):
    """Every statement that changes a job's state, in any order, by anybody."""

    def __init__(self, job_table: JobTable) -> None:
        super().__init__()
        self.job_table = job_table
        self.transaction = job_table.connection.transaction(force_rollback=True)
        self.transaction.__enter__()
        self.started: datetime = job_table.run("SELECT now() AS now")[0]["now"]
        self.clock = 0.0
        self.ids = itertools.count(1)
        self.jobs: list[Expected] = []
        self.workers: dict[str, float] = {}
        self.keys: dict[tuple[str, str], tuple[uuid.UUID, float]] = {}

    def _next_id(self) -> uuid.UUID:
        return uuid.UUID(int=next(self.ids))

    def teardown(self) -> None:
        self.transaction.__exit__(None, None, None)

    # ------------------------------------------------------------------ accepting

    @initialize(attempts=st.lists(st.integers(1, 4), min_size=3, max_size=6))
    def some_jobs_wait(self, attempts: list[int]) -> None:
        for max_attempts in attempts:
            self._accept(OWNERS[0], None, max_attempts, None)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule that chooses: Hypothesis leaves out whole rules for whole runs, and these need one another."""
        possible = [name for name, (weight, needs) in ACTIONS.items() if needs(self) for _ in range(weight)]
        getattr(self, data.draw(st.sampled_from(possible), label="what happens"))(data)

    def accept(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(OWNERS))
        key = data.draw(st.sampled_from([None, None, "key-one-1", "key-two-2"]))
        max_attempts = data.draw(st.integers(1, 4))
        lifetime = data.draw(st.sampled_from([None, None, 5.0, 120.0]))
        self._accept(owner, key, max_attempts, lifetime)

    def _accept(self, owner: str, key: str | None, max_attempts: int, lifetime: float | None) -> None:
        job_id = self.job_table.accept(key, max_attempts=max_attempts, owner=owner, job_id=self._next_id())
        kept = self.keys.get((owner, key)) if key else None
        inserted = bool(self.job_table.run("SELECT 1 FROM jobs WHERE id = %(id)s", id=job_id))
        assert inserted == (kept is None or kept[1] <= self.clock)
        if not inserted:
            return
        if key is not None:
            self.keys[owner, key] = (job_id, self.clock + KEY_LIFETIME)
        job = Expected(job_id, owner, max_attempts, run_after=self.clock, notified_at=self.clock)
        if lifetime is not None:
            job.expires_at = self.clock + lifetime
            by = timedelta(seconds=lifetime)
            self.job_table.run("UPDATE jobs SET expires_at = now() + %(by)s WHERE id = %(id)s", by=by, id=job_id)
        self.jobs.append(job)

    def retry(self, data: st.DataObject) -> None:
        """A new job that names an ended one; the ended one stays as it is."""
        old = data.draw(st.sampled_from([job for job in self.jobs if job.state in FINAL]))
        job_id = self._next_id()
        self.job_table.run(
            statements.ACCEPT, ids=[job_id], owners=[old.owner], models=["iris"], versions=[1], inputs=["{}"],
            keys=[None], hashes=[b""], hard_limits=[HARD_LIMIT], lifetimes=[None], retries_of=[old.id],
            key_lifetime=timedelta(seconds=KEY_LIFETIME), max_attempts=2,
        )  # fmt: skip
        assert self.job_table.job(job_id)["retry_of"] == old.id
        self.jobs.append(Expected(job_id, old.owner, 2, run_after=self.clock, notified_at=self.clock))

    # ------------------------------------------------------------------ workers

    def claim_named(self, data: st.DataObject) -> None:
        """Whatever a notification may name: what waits, and what does not wait any more."""
        worker = data.draw(st.sampled_from(WORKERS))
        named = self._some(data, 5)
        rows = self._claim(statements.CLAIM_NAMED, worker, ids=[job.id for job in named], limit=256)
        wanted = [job for job in named if self._claimable(job) and (not job.isolated or len(named) == 1)]
        self._claimed(worker, wanted, rows)

    def claim_oldest(self, data: st.DataObject) -> None:
        worker, limit = data.draw(st.sampled_from(WORKERS)), data.draw(st.integers(1, 4))
        rows = self._claim(statements.CLAIM_OLDEST, worker, limit=limit)
        due = sorted(filter(self._claimable, self.jobs), key=lambda job: (job.run_after, job.id))
        lone = due[:1] if due and due[0].isolated else None
        self._claimed(worker, lone or [job for job in due if not job.isolated][:limit], rows)

    def finish(self, data: st.DataObject) -> None:
        """By whoever ever claimed: in time, late, twice."""
        state = data.draw(st.sampled_from(["succeeded", "succeeded", "failed"]))
        held = self._some_fences(data, 3)
        failed = state == "failed"
        rows = self.job_table.run(
            statements.FINISH, ids=[job.id for job, _ in held], attempts=[attempt for _, attempt in held],
            states=[state] * len(held),
            results=[None if failed else _result(job) for job, _ in held],
            codes=["model_error" if failed else None] * len(held),
            details=["it raised" if failed else None] * len(held),
        )  # fmt: skip
        recorded = [job for job, attempt in held if self._holds(job, attempt)]
        assert _ids(rows) == {job.id for job in recorded}
        for job in recorded:
            self._end(job, state, "model_error" if failed else None)

    def release(self, data: st.DataObject) -> None:
        held = self._some_fences(data, 3)
        rows = self.job_table.run(
            statements.RELEASE, ids=[job.id for job, _ in held], attempts=[attempt for _, attempt in held]
        )
        released = [job for job, attempt in held if self._holds(job, attempt)]
        assert _ids(rows) == {job.id for job in released}
        for job in released:
            self._let_go(job, "model_unavailable", pause=1)

    def release_all(self, data: st.DataObject) -> None:
        """A worker that lost the answer to its claim lets go of all that it holds."""
        worker = data.draw(st.sampled_from(WORKERS))
        rows = self.job_table.run(statements.RELEASE_ALL, worker=worker)
        held = [job for job in self.among("running") if job.lease_owner == worker]
        assert _ids(rows) == {job.id for job in held}
        for job in held:
            self._let_go(job, "worker_lost", pause=None)

    def extend(self, data: st.DataObject) -> None:
        ((job, attempt),) = self._some_fences(data, 1)
        rows = self.job_table.run(
            statements.EXTEND, ids=[job.id], attempts=[attempt], more=(more := data.draw(st.sampled_from([0, 30])))
        )
        assert bool(rows) == self._holds(job, attempt)
        if rows:
            job.lease_until = self.clock + HARD_LIMIT + more

    def heartbeat(self, data: st.DataObject) -> None:
        names = data.draw(st.sets(st.sampled_from(WORKERS), min_size=1))
        self.job_table.run(statements.HEARTBEAT, names=sorted(names))
        self.workers |= {name: self.clock for name in names if name in self.workers}

    def worker_dies(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.workers)))
        self.job_table.delete_workers(name)
        del self.workers[name]

    # ------------------------------------------------------------------ the sweeper

    def rescue(self, data: st.DataObject) -> None:
        judge_silence = data.draw(st.booleans())
        rows = self.job_table.rescue(lease=LEASE, judge_silence=judge_silence)
        dead = [job for job in self.jobs if self._dead(job, judge_silence=judge_silence)]
        assert _ids(rows) == {job.id for job in dead}
        for job in dead:
            overran = job.lease_until <= self.clock
            beat = self.workers.get(job.lease_owner or "")
            if overran and job.isolated and beat is not None and beat >= self.clock - LEASE:
                self._end(job, "failed", "timeout")
                continue
            job.isolated = True
            code = "timeout" if overran else "worker_lost"
            self._let_go(job, code, pause=0 if job.attempt == 1 else min(2.0 ** (job.attempt - 2), 30))
        if judge_silence:
            self._assert_none("no_dead_lease_is_kept")

    def expire(self, _data: st.DataObject) -> None:
        overdue = [
            job
            for job in self.jobs
            if job.state == "queued" and job.expires_at is not None and job.expires_at <= self.clock
        ]
        assert _ids(self.job_table.run(statements.EXPIRE)) == {job.id for job in overdue}
        for job in overdue:
            self._end(job, "expired")

    def renotify(self, _data: st.DataObject) -> None:
        for isolated in (False, True):
            due = [
                job
                for job in self.among("queued")
                if job.run_after <= self.clock and job.notified_at <= self.clock - RENOTIFY and job.isolated == isolated
            ]
            again = timedelta(seconds=RENOTIFY)
            rows = self.job_table.run(statements.RENOTIFY, renotify=again, limit=1000, isolated=isolated)
            assert _ids(rows) == {job.id for job in due}
            for job in due:
                job.notified_at = self.clock
        self._assert_none("no_queued_job_is_forgotten")

    def time_passes(self, data: st.DataObject) -> None:
        seconds = data.draw(st.sampled_from([0.5, 1.0, 1.0, 3.0, 9.0, 9.0, 31.0, 61.0, 90_000.0]))
        by = timedelta(seconds=seconds)
        for shift in (SHIFT_JOBS, SHIFT_WORKERS, SHIFT_KEYS):
            self.job_table.run(shift, by=by)
        self.clock += seconds
        self.started -= by

    # ------------------------------------------------------------------ callers

    def cancel(self, data: st.DataObject) -> None:
        by = data.draw(st.sampled_from(OWNERS))
        (job,) = self._some(data, 1)
        rows = self.job_table.run(statements.CANCEL, id=job.id, owner=by)
        assert bool(rows) == (job.owner == by and job.state not in FINAL)
        if rows:
            self._end(job, "cancelled")

    # ------------------------------------------------------------------ after each step

    @invariant()
    def every_invariant_holds(self) -> None:
        assert self.job_table.run(UNTIMED, **_bounds()) == []

    @invariant()
    def every_row_is_what_the_model_says(self) -> None:
        rows = {row["id"]: row for row in self.job_table.run("SELECT * FROM jobs")}
        assert rows.keys() == {job.id for job in self.jobs}
        for job in self.jobs:
            row = rows[job.id]
            seen = (row["state"], row["attempt"], row["lease_owner"], row["error_code"], row["isolated"])
            assert seen == (job.state, job.attempt, job.lease_owner, job.error_code, job.isolated)
            if job.state not in FINAL:
                assert self._of(row["run_after"]) == pytest.approx(job.run_after, abs=1e-3)
            elif job.final_row is None:
                job.final_row = row
            else:
                assert row == job.final_row, "a final row changed"

    # ------------------------------------------------------------------ the model

    def among(self, state: str) -> list[Expected]:
        return [job for job in self.jobs if job.state == state]

    def _claim(self, statement: str, worker: str, **choice: Any) -> list[dict[str, Any]]:
        return self.job_table.run(
            statement, worker=worker, host="h", pid=1, process_started=0.0, **choice,
        )  # fmt: skip

    def _claimed(self, worker: str, wanted: list[Expected], rows: list[dict[str, Any]]) -> None:
        self.workers[worker] = self.clock
        assert {row["id"]: row["attempt"] for row in rows} == {job.id: job.attempt + 1 for job in wanted}
        for job in wanted:
            job.attempt += 1
            job.state, job.lease_owner, job.lease_until = "running", worker, self.clock + HARD_LIMIT
            job.fences.append(job.attempt)
            job.isolated = job.isolated or len(wanted) == 1

    def _claimable(self, job: Expected) -> bool:
        return (
            job.state == "queued"
            and job.run_after <= self.clock
            and job.attempt < job.max_attempts
            and (job.expires_at is None or job.expires_at > self.clock)
        )

    def _holds(self, job: Expected, attempt: int) -> bool:
        return job.state == "running" and job.attempt == attempt

    def _dead(self, job: Expected, *, judge_silence: bool) -> bool:
        if job.state != "running" or job.lease_owner is None:
            return False
        beat = self.workers.get(job.lease_owner)
        if beat is None:
            return True
        return judge_silence and (beat < self.clock - LEASE or job.lease_until <= self.clock)

    def _let_go(self, job: Expected, code: str, *, pause: float | None) -> None:
        """Queued again, and due after a pause; failed when its attempts are used up."""
        if job.attempt >= job.max_attempts:
            self._end(job, "failed", code)
            return
        job.state, job.lease_owner, job.notified_at = "queued", None, float("-inf")
        if pause is not None:
            job.run_after = self.clock + pause

    def _end(self, job: Expected, state: str, error_code: str | None = None) -> None:
        assert job.final_row is None
        job.state, job.lease_owner, job.error_code = state, None, error_code

    def _of(self, moment: datetime) -> float:
        return (moment - self.started).total_seconds()

    def fences(self) -> list[tuple[Expected, int]]:
        return [(job, attempt) for job in self.jobs for attempt in job.fences]

    def _some(self, data: st.DataObject, some: int) -> list[Expected]:
        places = data.draw(st.sets(st.integers(0, len(self.jobs) - 1), min_size=1, max_size=some))
        return [self.jobs[place] for place in sorted(places)]

    def _some_fences(self, data: st.DataObject, some: int) -> list[tuple[Expected, int]]:
        fences = self.fences()
        places = data.draw(st.sets(st.integers(0, len(fences) - 1), min_size=1, max_size=some))
        return [fences[place] for place in sorted(places)]

    def _assert_none(self, name: str) -> None:
        assert self.job_table.run(INVARIANTS[name][1], **_bounds()) == []


# What may happen: how often, and what it needs to be worth a step.
ACTIONS: dict[str, tuple[int, Callable[[JobsMachine], object]]] = {
    "accept": (2, lambda _: True),
    "claim_named": (3, lambda machine: machine.jobs),
    "claim_oldest": (2, lambda machine: machine.among("queued")),
    "finish": (3, lambda machine: machine.fences()),
    "release": (1, lambda machine: machine.fences()),
    "release_all": (1, lambda machine: machine.among("running")),
    "retry": (1, lambda machine: any(job.state in FINAL for job in machine.jobs)),
    "extend": (1, lambda machine: machine.fences()),
    "heartbeat": (1, lambda machine: machine.workers),
    "worker_dies": (2, lambda machine: machine.workers),
    "rescue": (3, lambda machine: machine.among("running")),
    "expire": (1, lambda machine: any(job.expires_at for job in machine.among("queued"))),
    "renotify": (1, lambda machine: machine.among("queued")),
    "time_passes": (3, lambda _: True),
    "cancel": (1, lambda machine: machine.jobs),
}


def _bounds() -> dict[str, timedelta]:
    return {"lease": timedelta(seconds=LEASE), "renotify": timedelta(seconds=RENOTIFY)}


def _ids(rows: list[dict[str, Any]]) -> set[uuid.UUID]:
    return {row["id"] for row in rows}


def _result(job: Expected) -> str:
    return f'{{"id":"{job.id}","model":"iris","version":1,"prediction":0}}'


@pytest.mark.guarantee("G2")
def test_no_order_of_statements_breaks_the_state_machine(job_table: JobTable) -> None:
    """G2. Accept, claim, finish in time and late, give back, send heartbeats, die, sweep, cancel, expire, retry."""

    class OnThisBoard(JobsMachine):
        def __init__(self) -> None:
            super().__init__(job_table)

    run_state_machine_as_test(
        OnThisBoard,
        settings=hypothesis.settings(
            max_examples=RUNS, stateful_step_count=STEPS, deadline=None, print_blob=True, database=None,
            suppress_health_check=list(hypothesis.HealthCheck), phases=PHASES,
        ),
    )  # fmt: skip
