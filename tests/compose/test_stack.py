"""The whole stack, from nothing to nothing: each test continues where the one before it ended."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from compose.docker import ROOT, URL, Stack
from compose.load import Call, Load
from compose.waiting import wait_until

pytestmark = pytest.mark.compose

MODEL_SECONDS = 30
SCALE_SECONDS = 60
# How far the in-flight window reaches past the kill: until the kernel has closed the dead process's sockets.
CLOSING_SECONDS = 0.25


def call(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(
        URL + path, body, {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read()


def answering(stack: Stack) -> set[str]:
    """Addresses of the replicas that answer through the gateway now."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    for number in range(24):
        call("GET", "/", headers={"X-Request-ID": f"{prefix}-{number}"})
    wait_until(lambda: f"request_id={prefix}-23" in stack.gateway_log(), 5, "the gateway has logged the requests")
    return stack.upstreams(prefix)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "accepted.txt"


@contextlib.contextmanager
def under_load(ledger: Path, name: str) -> Iterator[Load]:
    """Load that has got going; at the end, a line that says what came of it."""
    with Load(ledger) as load:
        wait_until(lambda: min(load.count(kind) for kind in ("predict", "async", "keyed")) >= 40, 30, "load")
        yield load
        more = {kind: load.count(kind) + 40 for kind in ("predict", "async", "keyed")}
        wait_until(lambda: all(load.count(kind) >= most for kind, most in more.items()), 60, "load after the event")
    failed = [one for one in load.calls if one.failed]
    accepted = load.count("async") + load.count("keyed")
    print(f"{name}: {len(load.calls)} requests, {accepted} jobs accepted, {len(failed)} requests failed")


def statuses(calls: list[Call]) -> list[str]:
    return [f"{one.kind} {one.status} {one.detail[:160]}" for one in calls if one.failed]


def test_from_nothing_the_stack_comes_up_healthy(stack: Stack) -> None:
    stack.compose("up", "-d", "--build", "--wait")
    for service in ("postgres", "redis", "api", "worker", "gateway"):
        (container,) = stack.containers(service)
        assert stack.health(container) == "healthy"


def test_the_smoke_test_passes() -> None:
    done = subprocess.run(
        [sys.executable, "test_api.py"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documents_curls_and_checks_answer_as_written(stack: Stack) -> None:
    assert call("GET", "/health")[0] == 200
    status, _, body = call("POST", "/predict/", b'{"features": [5.1, 3.5, 1.4, 0.2]}')
    assert (status, json.loads(body)["label"]) == (200, "setosa")
    assert stack.docker("exec", "redis_container", "redis-cli", "ping").strip() == "PONG"
    ready = stack.docker("exec", "postgres", "pg_isready", "-U", "celery_user", "-d", "celery_db")
    assert "accepting connections" in ready


def test_redis_lets_strangers_ping_and_nothing_else_and_the_platform_its_own_keys_alone(stack: Stack) -> None:
    for command in ("get aip:x", "keys *", "flushall", "config get *", "publish aip:finished x", "acl list"):
        assert "NOPERM" in stack.docker("exec", "redis_container", "redis-cli", *command.split())
    program = """
import redis, sys
from ai_platform.settings import load
client = redis.Redis.from_url(load().redis_dsn)
client.set("aip:allowed", 1, ex=1)
script = "return redis.call('get', 'other')"
for command in (["GET", "other"], ["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["PUBLISH", "other", "x"],
                ["ACL", "LIST"], ["SHUTDOWN"], ["CLIENT", "LIST"], ["EVAL", script, "0"]):
    try:
        sys.exit(f"{command} was allowed: {client.execute_command(*command)}")
    except redis.ResponseError as error:
        assert isinstance(error, redis.exceptions.NoPermissionError) or "can't access" in str(error), (command, error)
"""
    (container,) = stack.containers("api")
    stack.docker("exec", container, "python", "-c", program)


def test_containers_have_no_rights_that_they_do_not_need(stack: Stack) -> None:
    for service in ("postgres", "redis", "api", "worker", "gateway"):
        (container,) = stack.containers(service)
        found = stack.inspect(container)
        host = found["HostConfig"]
        assert found["Config"]["User"] not in {"", "0", "root"}, service
        assert host["ReadonlyRootfs"] is True, service
        assert host["CapDrop"] == ["ALL"], service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service
        published = [port for port in (found["NetworkSettings"]["Ports"] or {}).values() if port]
        assert bool(published) is (service == "gateway"), service
        mounts = {mount["Destination"]: mount["RW"] for mount in found["Mounts"]}
        assert "/var/lib/ai-platform/signing" not in mounts, service
        assert mounts.get("/var/lib/ai-platform/keys", False) is False, service
    (gateway,) = stack.containers("gateway")
    assert stack.inspect(gateway)["NetworkSettings"]["Ports"]["8000/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": "8000"}
    ]
    (api,) = stack.containers("api")
    search = "for tool in gcc cc c++ g++ ld make pip; do command -v /opt/venv/bin/$tool /usr/bin/$tool; done; true"
    compilers = [line for line in stack.docker("exec", api, "sh", "-c", search).splitlines() if "pip" not in line]
    assert compilers == []


def test_the_image_is_small_and_holds_the_libraries_of_every_model_format(stack: Stack) -> None:
    (api,) = stack.containers("api")
    image = stack.inspect(api)["Image"]
    whole, base = (
        int(stack.docker("image", "inspect", "--format", "{{.Size}}", name))
        for name in (image, "python:3.11-slim-bookworm")
    )
    print(f"image: {(whole - base) / 1e6:.0f} MB over its base of {base / 1e6:.0f} MB")
    assert whole - base < 450e6
    libraries = "import lightgbm, onnx, onnxruntime, pandas, sklearn.ensemble, skops.io, xgboost; print('all')"
    assert stack.docker("exec", api, "python", "-c", libraries) == "all\n"


def test_requests_carry_their_id_through_and_refusals_are_problem_details(stack: Stack) -> None:
    status, headers, body = call("GET", "/nowhere", headers={"X-Request-ID": "mine-1"})
    assert (status, headers["X-Request-ID"], json.loads(body)["request_id"]) == (404, "mine-1", "mine-1")
    wait_until(lambda: "request_id=mine-1" in stack.gateway_log(), 5, "the gateway has logged the request")
    refused_by_nginx: tuple[tuple[int, bytes, dict[str, str]], ...] = (
        (413, b"x" * 1_048_577, {}),
        (431, b"{}", {"X-Large": "x" * 20_000}),
    )
    for wanted, sent, extra in refused_by_nginx:
        status, headers, body = call("POST", "/predict/", sent, {"X-Request-ID": "mine-2", **extra})
        answer = json.loads(body)
        assert (status, headers.get_content_type()) == (wanted, "application/problem+json")
        assert (answer["status"], answer["request_id"]) == (wanted, headers["X-Request-ID"])
    assert call("GET", "/", headers={"Host": "elsewhere.example"})[0] == 400


def test_retraining_publishes_the_next_version(stack: Stack) -> None:
    stack.compose("run", "--rm", "migrate", "train")

    def version() -> int:
        return int(json.loads(call("POST", "/predict/", b'{"features": [5.1, 3.5, 1.4, 0.2]}')[2])["version"])

    wait_until(lambda: version() == 2, MODEL_SECONDS, "version 2 serves")


def test_a_model_of_ones_own_is_published_into_the_running_stack(stack: Stack, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "formats" / "python.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "parcels.py").write_text(source, encoding="utf-8")
    tmp_path.chmod(0o755)
    mounted = ("-v", f"{tmp_path}:/models:ro")
    said = stack.compose("run", "--rm", *mounted, "migrate", "models", "publish", "parcels", "/models/parcels.py")
    assert "published: parcels version 1, now production" in said
    parcel = b'{"features": {"distance_km": 900, "express": false, "country": "IS"}}'

    def answer() -> tuple[int, bytes]:
        status, _headers, body = call("POST", "/models/parcels/predict", parcel)
        return status, body

    wait_until(lambda: answer()[0] == 200, MODEL_SECONDS, "parcels serves")
    assert json.loads(answer()[1])["label"] == "late"


def test_events_pass_the_gateway_as_they_come(stack: Stack) -> None:
    (worker,) = stack.containers("worker")
    stack.docker("pause", worker)
    try:
        job = json.loads(call("POST", "/predict/async", b'{"features": [5.1, 3.5, 1.4, 0.2]}')[2])
        with urllib.request.urlopen(f"{URL}{job['url']}/events", timeout=20) as stream:
            assert _next_event(stream) == "queued"  # while the answer is far from its end
            stack.docker("unpause", worker)
            rest = [event.decode().split(": ")[1].strip() for event in stream if event.startswith(b"event: ")]
    finally:
        stack.docker("unpause", worker, check=False)
    assert rest[-1] == "succeeded"


def _next_event(stream: Iterable[bytes]) -> str:
    return next(line for line in stream if line.startswith(b"event: ")).decode().split(": ")[1].strip()


def test_new_replicas_are_found_within_five_seconds(stack: Stack) -> None:
    before = set(stack.containers("api"))
    stack.compose("up", "-d", "--scale", "api=3", "--scale", "worker=2")
    new = set(stack.containers("api")) - before
    assert len(new) == 2
    everyone = {stack.address(container) for container in stack.containers("api")}
    wait_until(lambda: answering(stack) == everyone, SCALE_SECONDS, "all three replicas answer through the gateway")
    for container in new:
        loaded = _first(stack.events(container), "model loaded")
        (gateway,) = stack.containers("gateway")
        listed = _first(stack.events(gateway), f"replicas: .*{re.escape(stack.address(container))}")
        print(f"replica found {(listed - loaded).total_seconds():.1f} s after its model was loaded")
        assert (listed - loaded).total_seconds() < 5
    wait_until(lambda: len(_healthy(stack, "worker")) == 2, SCALE_SECONDS, "both workers are healthy")


def _first(log: list[str], pattern: str) -> datetime:
    """When a line that matches was first logged."""
    found = next(line for line in log if re.search(pattern, line))
    return datetime.fromisoformat(found.split()[0][:26] + "+00:00")


def _healthy(stack: Stack, service: str) -> list[str]:
    return [container for container in stack.containers(service) if stack.health(container) == "healthy"]


def test_a_killed_api_process_costs_at_most_what_it_had_in_flight(stack: Stack, ledger: Path) -> None:
    victim = stack.containers("api")[0]
    everyone = {stack.address(container) for container in stack.containers("api")}
    with under_load(ledger, "API process killed") as load:
        stack.kill(victim)
        killed = time.monotonic()
        gone = killed + CLOSING_SECONDS
        wait_until(lambda: stack.inspect(victim)["RestartCount"] > 0, 30, "the killed replica is started again")
    failed = [one for one in load.calls if one.failed]
    in_flight = load.between(killed - CLOSING_SECONDS, gone)
    print(f"in flight at the kill, on all three replicas: {len(in_flight)}; failed: {len(failed)}")
    assert [one for one in failed if one not in in_flight] == [], statuses(failed)
    # With an Idempotency-Key the gateway sends a POST again, unless the answer's first bytes were on their way already.
    assert [one for one in failed if one.kind == "keyed" and "IncompleteRead" not in one.detail] == [], statuses(failed)
    wait_until(lambda: stack.health(victim) == "healthy", 60, "the killed replica is healthy again")
    wait_until(lambda: len(answering(stack)) == 3, 30, f"three replicas answer again ({everyone} before)")


def test_a_killed_worker_process_costs_no_request_and_no_job(stack: Stack, ledger: Path) -> None:
    victim = stack.containers("worker")[0]
    with under_load(ledger, "worker process killed") as load:
        stack.kill(victim)
        wait_until(lambda: stack.inspect(victim)["RestartCount"] > 0, 30, "the killed worker is started again")
    assert statuses(load.calls) == []
    wait_until(lambda: stack.health(victim) == "healthy", 60, "the killed worker is healthy again")


def test_a_crashed_celery_is_started_again_beside_its_sweeper(stack: Stack) -> None:
    victim = stack.containers("worker")[1]
    # Celery's own children have the same command line; its parent, the supervisor, is the init's child.
    find = """
import psutil
(supervisor,) = psutil.Process(1).children()
print([child.pid for child in supervisor.children() if child.cmdline()[-1] == "worker"])
"""
    (celery,) = json.loads(stack.docker("exec", victim, "python", "-c", find))
    stack.docker("exec", victim, "python", "-c", f"import os; os.kill({celery}, 9)")

    def successor() -> bool:
        found = json.loads(stack.docker("exec", victim, "python", "-c", find))
        return bool(found) and found != [celery]

    wait_until(successor, 30, "Celery runs again in the same container")
    assert stack.inspect(victim)["RestartCount"] == 0


def test_redis_restarts_and_nobody_notices(stack: Stack, ledger: Path) -> None:
    with under_load(ledger, "redis_container restarted") as load:
        stack.docker("restart", "redis_container")
    assert statuses(load.calls) == []


def test_postgres_restarts_and_predictions_go_on_while_jobs_are_refused_honestly(stack: Stack, ledger: Path) -> None:
    with under_load(ledger, "postgres restarted") as load:
        stack.docker("restart", "postgres")
        wait_until(lambda: stack.health("postgres") == "healthy", 60, "PostgreSQL is healthy again")
    failed = [one for one in load.calls if one.failed]
    assert [one for one in failed if one.kind == "predict"] == [], statuses(failed)
    assert {one.status for one in failed} <= {503}, statuses(failed)


def test_no_accepted_job_is_lost_and_each_has_its_right_result(stack: Stack, ledger: Path) -> None:
    accepted = [line.split() for line in ledger.read_text(encoding="utf-8").splitlines()]
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda line: _ended(line[0]), accepted))
    wrong = [
        job
        for job, (_, flower) in zip(jobs, accepted, strict=True)
        if job["status"] != "succeeded" or job["result"]["prediction"] != int(flower)
    ]
    again = sum(1 for job in jobs if job["attempts"] > 1)
    print(f"accepted {len(accepted)} jobs: {len(jobs) - len(wrong)} succeeded, {again} of them at a later attempt; "
          f"lost or wrong: {len(wrong)}")  # fmt: skip
    assert len({job_id for job_id, _ in accepted}) == len(accepted)
    assert wrong == []


def _ended(job_id: str) -> dict[str, Any]:
    status, _, body = call("GET", f"/jobs/{job_id}?wait=30")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_nobody_was_refused_by_redis_and_each_line_names_its_service(stack: Stack) -> None:
    logs = stack.compose("logs", "--no-log-prefix", "api", "worker")
    assert "NoPermission" not in logs
    lines = [line for line in logs.splitlines() if re.match(r"\d\d:\d\d:\d\d", line)]
    strangers = [
        line for line in lines if not re.search(r" (INFO|WARNING|ERROR|CRITICAL) +(api|worker|sweeper) ", line)
    ]
    assert strangers == []


def test_without_any_replica_callers_get_503_and_when_to_try_again(stack: Stack) -> None:
    stack.compose("stop", "api")
    wait_until(lambda: call("GET", "/")[0] == 503, 10, "503 without replicas")
    status, headers, body = call("POST", "/predict/async", b"{}")
    assert (status, headers["Retry-After"], json.loads(body)["code"]) == (503, "1", "no_replica")
    stack.compose("start", "api")
    wait_until(lambda: call("GET", "/")[0] == 200, 60, "the replicas are back")


def test_a_second_up_changes_nothing_and_loses_nothing(stack: Stack) -> None:
    stack.compose("up", "-d", "--wait")
    assert len(stack.containers("api")) == 1, "without --scale, `up` goes back to AI_PLATFORM_API_REPLICAS"
    body = json.loads(call("POST", "/predict/", b'{"features": [5.1, 3.5, 1.4, 0.2]}')[2])
    assert body["version"] == 2


def test_everything_stops_in_order_before_it_would_be_killed(stack: Stack) -> None:
    containers = {name: stack.containers(name)[0] for name in ("gateway", "api", "worker", "redis", "postgres")}
    stack.compose("stop")
    codes = {service: stack.inspect(container)["State"]["ExitCode"] for service, container in containers.items()}
    # uvicorn ends by the signal that it was asked with (143 is SIGTERM); 137 would be SIGKILL.
    assert codes == {"gateway": 0, "api": 143, "worker": 0, "redis": 0, "postgres": 0}
