"""Every kind of fault: each breaks something, lets it be broken for a moment, and mends it as a supervisor would."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import psutil
import redis

from ai_platform import failpoints
from chaos.rig import HANG_SECONDS, Rig
from harness import eventually

Fault = Callable[[Rig, random.Random], None]

API_POINTS = [point for point in failpoints.POINTS if point.startswith("accept.")]
WORKER_POINTS = [point for point in failpoints.POINTS if point.startswith("worker.")]
REACHED_SECONDS = 6.0


def _for(seconds: float) -> None:
    """Let it be broken for a moment: the fault is its own length, there is nothing to wait for."""
    time.sleep(seconds)


# ---------------------------------------------------------------------- processes


def child_killed(rig: Rig, chance: random.Random) -> None:
    _to_a_child(rig, chance, signal.SIGKILL)


def child_segfaults(rig: Rig, chance: random.Random) -> None:
    _to_a_child(rig, chance, signal.SIGSEGV)


def child_frozen(rig: Rig, chance: random.Random) -> None:
    """Longer than its lease; then it goes on and writes late."""
    rig.arm(chance.choice(["worker.computing", "worker.computed"]), "stop")
    with contextlib.suppress(AssertionError):
        eventually(rig.stopped_child, REACHED_SECONDS)
    _for(HANG_SECONDS)
    for pid in rig.children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def child_killed_at_a_point(rig: Rig, chance: random.Random) -> None:
    _at_a_point(rig, chance.choice(WORKER_POINTS), "kill")


def child_crashes_at_a_point(rig: Rig, chance: random.Random) -> None:
    _at_a_point(rig, chance.choice(WORKER_POINTS), "segv")


def worker_killed(rig: Rig, _chance: random.Random) -> None:
    rig.parts["worker"].kill()
    rig.parts["worker"].start()


def worker_main_killed(rig: Rig, _chance: random.Random) -> None:
    """Its children have to notice by themselves."""
    children = rig.children()
    os.kill(rig.parts["worker"].pid, signal.SIGKILL)
    eventually(lambda: not any(map(psutil.pid_exists, children)), 10, "the children die with it")
    rig.parts["worker"].kill()
    rig.parts["worker"].start()


def worker_stopped_in_order(rig: Rig, _chance: random.Random) -> None:
    worker = rig.parts["worker"]
    worker.process.terminate()
    with contextlib.suppress(Exception):
        worker.process.wait(6)
    worker.kill()
    worker.start()


def worker_paused(rig: Rig, _chance: random.Random) -> None:
    rig.parts["worker"].signal_all(signal.SIGSTOP)
    _for(HANG_SECONDS)
    rig.parts["worker"].signal_all(signal.SIGCONT)


def api_killed(rig: Rig, _chance: random.Random) -> None:
    rig.parts["api"].kill()
    rig.parts["api"].start()


def api_killed_at_a_point(rig: Rig, chance: random.Random) -> None:
    rig.arm(chance.choice(API_POINTS), "kill")
    with contextlib.suppress(AssertionError):
        eventually(lambda: rig.parts["api"].process.poll() is not None, REACHED_SECONDS)
    api_killed(rig, chance)


def api_paused(rig: Rig, _chance: random.Random) -> None:
    rig.parts["api"].signal_all(signal.SIGSTOP)
    _for(HANG_SECONDS)
    rig.parts["api"].signal_all(signal.SIGCONT)


def sweeper_killed(rig: Rig, _chance: random.Random) -> None:
    rig.parts["sweeper"].kill()
    rig.parts["sweeper"].start()


def sweeper_killed_before_ringing(rig: Rig, _chance: random.Random) -> None:
    rig.arm("sweeper.committed", "kill")
    with contextlib.suppress(AssertionError):
        eventually(lambda: rig.parts["sweeper"].process.poll() is not None, REACHED_SECONDS)
    rig.parts["sweeper"].kill()
    rig.parts["sweeper"].start()


def two_sweepers(rig: Rig, chance: random.Random) -> None:
    rig.start("sweeper-2")
    with contextlib.suppress(AssertionError):
        eventually(lambda: rig.logged("sweeper-2", "\n"), 0.1)
    child_killed(rig, chance)
    _for(HANG_SECONDS)
    rig.parts.pop("sweeper-2").kill()


# ---------------------------------------------------------------------- Valkey


def valkey_killed(rig: Rig, _chance: random.Random) -> None:
    rig.valkey.kill()
    _for(0.5)
    rig.valkey.start()


def valkey_wiped(rig: Rig, _chance: random.Random) -> None:
    rig.wipe_valkey()


def valkey_flushed(rig: Rig, _chance: random.Random) -> None:
    with rig.redis() as client:
        client.flushall()


def valkey_paused(rig: Rig, _chance: random.Random) -> None:
    rig.valkey.pause()
    _for(HANG_SECONDS)
    rig.valkey.resume()


def valkey_filled(rig: Rig, _chance: random.Random) -> None:
    with rig.redis() as client:
        client.config_set("maxmemory", "1mb")
        client.config_set("maxmemory-policy", "noeviction")
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            client.set("ballast", b"x")
        _for(HANG_SECONDS)
        client.config_set("maxmemory", "256mb")


def valkey_reset(rig: Rig, chance: random.Random) -> None:
    rig.proxies[chance.choice(["api", "worker"]), "valkey"].reset()


def valkey_answer_cut(rig: Rig, chance: random.Random) -> None:
    """In the middle: the worker's BRPOP has taken a notification off the list, and nobody has it."""
    rig.proxies["worker", "valkey"].cut_after(chance.randint(1, 400)).wait(REACHED_SECONDS)
    rig.proxies["worker", "valkey"].spare()


def valkey_in_a_black_hole(rig: Rig, chance: random.Random) -> None:
    proxy = rig.proxies[chance.choice(["api", "worker"]), "valkey"]
    proxy.blackhole()
    _for(HANG_SECONDS)
    proxy.relay()


# ---------------------------------------------------------------------- PostgreSQL


def postgres_restarted_fast(rig: Rig, _chance: random.Random) -> None:
    rig.postgres.restart()


def postgres_restarted_immediately(rig: Rig, _chance: random.Random) -> None:
    rig.crash_postgres(signal.SIGQUIT)


def postgres_killed(rig: Rig, _chance: random.Random) -> None:
    rig.crash_postgres(signal.SIGKILL)


def postgres_paused(rig: Rig, _chance: random.Random) -> None:
    rig.postgres.pause()
    _for(HANG_SECONDS)
    rig.postgres.resume()


def postgres_connections_terminated(rig: Rig, _chance: random.Random) -> None:
    rig.terminate_backends()


def postgres_in_a_black_hole(rig: Rig, chance: random.Random) -> None:
    proxy = rig.proxies[chance.choice(["api", "worker"]), "postgres"]
    proxy.blackhole()
    _for(HANG_SECONDS)
    proxy.relay()


def accepting_commit_cut(rig: Rig, _chance: random.Random) -> None:
    rig.proxies["api", "postgres"].cut_answer(rb"INSERT 0 [1-9]").wait(REACHED_SECONDS)
    rig.proxies["api", "postgres"].spare()


def finishing_commit_cut(rig: Rig, _chance: random.Random) -> None:
    rig.proxies["worker", "postgres"].cut_answer(rb"UPDATE [1-9]", unless=b"attempt\0").wait(REACHED_SECONDS)
    rig.proxies["worker", "postgres"].spare()


def claiming_commit_cut(rig: Rig, _chance: random.Random) -> None:
    rig.proxies["worker", "postgres"].cut_answer(rb"attempt\0.*UPDATE [1-9]").wait(REACHED_SECONDS)
    rig.proxies["worker", "postgres"].spare()


# Faults of processes may come together with one of a server, and they then run beside it.
PROCESSES: list[Fault] = [
    child_killed, child_segfaults, child_frozen, child_killed_at_a_point, child_crashes_at_a_point, worker_killed,
    worker_main_killed, worker_stopped_in_order, worker_paused, api_killed, api_killed_at_a_point, api_paused,
    sweeper_killed, sweeper_killed_before_ringing, two_sweepers,
]  # fmt: skip
SERVERS: list[Fault] = [
    valkey_killed, valkey_wiped, valkey_flushed, valkey_paused, valkey_filled, valkey_reset, valkey_answer_cut,
    valkey_in_a_black_hole, postgres_restarted_fast, postgres_restarted_immediately, postgres_killed, postgres_paused,
    postgres_connections_terminated, postgres_in_a_black_hole, accepting_commit_cut, finishing_commit_cut,
    claiming_commit_cut,
]  # fmt: skip


def _to_a_child(rig: Rig, chance: random.Random, number: signal.Signals) -> None:
    children = rig.children()
    if children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(children), number)


def _at_a_point(rig: Rig, point: str, action: str) -> None:
    rig.arm(point, action)
    with contextlib.suppress(AssertionError):
        eventually(lambda: not rig.is_armed(point), REACHED_SECONDS)
    (rig.armed / point).unlink(missing_ok=True)
