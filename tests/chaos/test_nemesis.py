"""Random faults of every kind while clients insist on their jobs; then a count of everything that was promised."""

import contextlib
import itertools
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

from ai_platform.inputs.instances import Instances
from ai_platform.models.loading.signing import signer
from ai_platform.models.publishing import Publisher
from ai_platform.models.registry.aliases import PRODUCTION
from ai_platform.predictions.catalog.versions import VersionSource
from ai_platform.training import iris as iris_training
from ai_platform.training import model_file
from chaos import report
from chaos.faults import PROCESSES, SERVERS, Fault
from chaos.ledger import Clients, Ledger
from chaos.rig import SCALED, Rig
from chaos.troubled import Trouble
from harness import Iris, eventually

JOBS = int(os.environ.get("CHAOS_JOBS", "1000"))
TIMES = int(os.environ.get("CHAOS_TIMES", "2"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randint(1, 999_999)
TOGETHER = 0.6  # of the server faults, how many come with a fault of a process
ROUND_SECONDS = 60.0
EXACT = 1e-6
CODES = {Trouble.RAISE: "model_error", Trouble.MEMORY: "model_error", Trouble.CRASH: "worker_lost",
         Trouble.KILLED: "worker_lost", Trouble.HANG: "timeout"}  # fmt: skip


@dataclass
class Seen:
    """What a run has seen."""

    faults: Counter[str] = field(default_factory=Counter)
    recovery: dict[str, list[float]] = field(default_factory=dict)
    poison: dict[str, Trouble] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    late: int = 0


@pytest.mark.chaos
@pytest.mark.guarantee("G1")
@pytest.mark.guarantee("G2")
@pytest.mark.guarantee("G3")
def test_after_random_faults_of_every_kind_nothing_is_lost_doubled_wrong_or_stuck(iris: Iris, tmp_path: Path) -> None:
    begun = time.monotonic()
    seen, chance = Seen(), random.Random(SEED)
    print(f"\nseed {SEED} (CHAOS_SEED={SEED} repeats the choice of faults)", flush=True)
    with (
        contextlib.closing(Ledger(tmp_path / "ledger")) as ledger,
        Rig.started(iris, tmp_path / "rig", max_attempts=5, **SCALED) as rig,
    ):
        clients = Clients(rig.url, ledger, SEED)
        try:
            _rounds(rig, clients, seen, chance)
            rig.heal()
            _wait_for_all(rig, seen, None)
        finally:
            clients.stop()
        _count(rig, ledger, seen)
        rig.assert_honest()
        seen.late = rig.logged("worker", "results not recorded")
    _report(clients, seen, time.monotonic() - begun)
    assert clients.unexpected == []
    assert (seen.lost, seen.doubled, seen.wrong, seen.stuck) == ([], [], [], [])
    assert clients.counts.accepted == JOBS


def _rounds(rig: Rig, clients: Clients, seen: Seen, chance: random.Random) -> None:
    plan = _plan(chance)
    let = 0
    poison = itertools.cycle(CODES)
    for number, (beside, fault) in enumerate(plan, start=1):
        upto = JOBS * number // len(plan)
        names = [chosen.__name__ for chosen in (beside, fault) if chosen]
        clients.let((upto - let) // 2)
        thread = threading.Thread(target=beside, args=(rig, random.Random(chance.random()))) if beside else None
        if thread:
            thread.start()
        if number % 4 == 0 and len(seen.poison) < 2 * len(CODES):
            _poison(rig, seen, next(poison))
        clients.let(upto - let - (upto - let) // 2)
        let = upto
        if fault:
            fault(rig, chance)
        if thread:
            thread.join(ROUND_SECONDS)
            assert not thread.is_alive()
        if number in {len(plan) // 3, 2 * len(plan) // 3}:
            _publish_another(rig, 0.05 * number)
        healed = time.monotonic()
        _wait_for_all(rig, seen, (clients, let))
        took = time.monotonic() - healed
        for name in names:
            seen.faults[name] += 1
            seen.recovery.setdefault(name, []).append(took)
        print(f"{number:3}/{len(plan)}  {took:5.1f} s  {let:5} jobs  {' + '.join(names)}", flush=True)


def _plan(chance: random.Random) -> list[tuple[Fault | None, Fault | None]]:
    """Every kind at least twice, in any order; some faults of servers together with one of a process."""
    processes, servers = PROCESSES * TIMES, SERVERS * TIMES
    chance.shuffle(processes)
    chance.shuffle(servers)
    plan: list[tuple[Fault | None, Fault | None]] = [
        (processes.pop() if processes and chance.random() < TOGETHER else None, server) for server in servers
    ]
    plan += [(process, None) for process in processes]
    chance.shuffle(plan)
    return plan


def _poison(rig: Rig, seen: Seen, trouble: Trouble) -> None:
    """Now and then a row that raises, crashes, hangs or is killed; it may be refused while something is broken."""
    try:
        answer = rig.submit({"features": [float(len(seen.poison)), int(trouble)]}, model="troubled")
    except Exception:  # noqa: BLE001  # the API may be dead just now; poison is not promised to anybody
        return
    if answer.status_code == 202:
        seen.poison[answer.json()["id"]] = trouble


def _publish_another(rig: Rig, strength: float) -> None:
    """Other numbers under the same name: what was accepted before keeps its version."""
    trained = iris_training.train()
    data = load_iris()
    trained.estimator.set_params(logisticregression__C=strength).fit(data.data, data.target)
    files = model_file.write(
        trained, rig.folder / f"iris-{strength}" / "model.pkl", signer(rig.iris.signing_key, rig.iris.keys)
    )
    Publisher.of(rig.settings).publish(files.artifact, files.signed(), by="test", alias=PRODUCTION)


def _wait_for_all(rig: Rig, seen: Seen, until: tuple[Clients, int] | None) -> None:
    """Until every job that the clients were let submit has its 202 and its end; poison has time until the very end."""
    if until is not None:
        clients, let = until
        eventually(lambda: clients.counts.accepted >= let, ROUND_SECONDS, "every client has its 202")
    waiting = "SELECT id, state, attempt, isolated, run_after FROM jobs WHERE state IN ('queued', 'running')"
    model = " AND model = 'iris'" if until is not None else ""
    left: list[dict[str, Any]] = []

    def all_ended() -> bool:
        left[:] = rig.query(waiting + model)
        return not left

    try:
        eventually(all_ended, ROUND_SECONDS)
    except AssertionError:
        seen.stuck += [str(row) for row in left]
        raise AssertionError(f"stuck: {left}") from None


def _count(rig: Rig, ledger: Ledger, seen: Seen) -> None:
    rows = {str(row["id"]): row for row in rig.query("SELECT * FROM jobs WHERE model = 'iris'")}
    promises = ledger.read()
    source = VersionSource.of(rig.settings, "oracle")
    for promise in promises:
        row = rows.get(promise["id"])
        if row is None:
            seen.lost.append(promise["id"])
        elif row["state"] != "succeeded":
            seen.stuck.append(f"{row['id']} {row['state']} {row['error_code']}")
        elif row["version"] != promise["version"] or not _is_right(source, row, promise["body"]):
            seen.wrong.append(promise["id"])
    ids = Counter(promise["id"] for promise in promises)
    seen.doubled += [job_id for job_id, times in ids.items() if times > 1]
    seen.doubled += sorted(rows.keys() - ids.keys())
    recorded = rig.query("SELECT job FROM audit WHERE after = 'succeeded' GROUP BY job HAVING count(*) > 1")
    seen.doubled += [str(row["job"]) for row in recorded]
    for job_id, trouble in seen.poison.items():
        code = rig.row(job_id)["error_code"]
        # A crash that the platform suffers beside the poison may be what ended the last attempt.
        if code not in {CODES[trouble], "worker_lost", "timeout"}:
            seen.wrong.append(f"{job_id} {trouble.name} {code}")
    source.close()


def _is_right(source: VersionSource, row: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether the pinned version, asked anew for each instance by itself, says the same."""
    result = row["result"]
    if (result["id"], result["version"]) != (str(row["id"]), row["version"]):
        return False
    prepared = source.pool.get((row["model"], row["version"]))
    single = "features" in body
    rows = [body["features"]] if single else body["instances"]
    predictions, probabilities = result["prediction" if single else "predictions"], result["probabilities"]
    if single:
        predictions, probabilities = [predictions], [probabilities]
    for place, instance in enumerate(rows):
        alone = prepared.predict(Instances([instance], single=True), "oracle")
        assert alone.probabilities is not None
        if predictions[place] != alone.predictions[0]:
            return False
        if probabilities[place] != pytest.approx(alone.probabilities[0], abs=EXACT):
            return False
    return len(predictions) == len(rows)


def _report(clients: Clients, seen: Seen, took: float) -> None:
    every = list(itertools.chain.from_iterable(seen.recovery.values()))
    counts = clients.counts
    story = (
        f"{counts.accepted} jobs, {sum(seen.faults.values())} faults of {len(seen.faults)} kinds in {took:.0f} s,"
        f" seed {SEED}. Intervals are scaled down: a lease of {SCALED['lease_seconds']} s, a notification sent"
        f" again after {SCALED['renotify_seconds']} s. Four clients repeated each request with its Idempotency-Key"
        f" until it got a 202: {counts.broken} broken connections and {counts.refused} refusals on the way."
        f" The model was published anew twice during the run; {len(seen.poison)} poison rows ran beside."
        f" {seen.late} late or repeated writes of results were refused."
    )
    proof = (
        "Every result was computed again, alone, with the version pinned by its job (within 1e-6). All invariants hold,"
        " and no row changed after its end. From the moment a fault was mended (dead processes started again, not yet"
        " ready) until everything that was submitted had its 202 and its result:"
    )
    lines = [
        story,
        "",
        *report.table(
            ["Promised jobs that were", ""],
            [["lost", len(seen.lost)], ["doubled", len(seen.doubled)], ["wrong", len(seen.wrong)],
             ["stuck or failed", len(seen.stuck)]],
        ),
        "",
        proof,
        "",
        *report.table(
            ["Fault", "Times", "p50", "p99", "Longest"],
            [[name.replace("_", " "), seen.faults[name], *report.seconds(seen.recovery[name])]
             for name in sorted(seen.faults)] + [["all", sum(seen.faults.values()), *report.seconds(every)]],
        ),
    ]  # fmt: skip
    print("\n".join(lines))
    report.keep("nemesis", "Random faults", lines)
