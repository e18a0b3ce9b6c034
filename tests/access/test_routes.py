"""Every route with every kind of caller; a route that is missing here fails the suite."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from access.conftest import Guarded
from ai_platform.api import app as application
from ai_platform.api.http.auth import ANY, PUBLIC, PUBLIC_ROUTES
from ai_platform.api.openapi import predictions
from ai_platform.api.routes.declaration import Routes
from ai_platform.settings import Settings
from harness import SAMPLE, eventually

PREDICTION_PATHS = [
    f"{model}/predict{later}"
    for model in ("", "/models/{name}", "/models/{name}/aliases/{alias}", "/models/{name}/versions/{version}")
    for later in ("/" if not model else "", "/async")
]
ROUTE_SCOPES = {
    (one.method, one.path): one.scope
    for one in (*predictions.declared(), *(one for group in application.ROUTES for one in group.declared))
    if one.scope != PUBLIC
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/keys"): {"owner": "made", "scopes": ["predict"]},
    ("PUT", "/models/{name}/aliases/{alias}"): {"version": 1},
    ("POST", "/models/{name}/promote"): {"version": 1},
    ("POST", "/models/{name}/versions"): {"sha256": "0" * 64, "format": "onnx"},
    **{("POST", path): SAMPLE for path in PREDICTION_PATHS},
}
# What the right caller is answered with, where it is not 200.
RIGHT = {
    ("POST", "/keys"): 201,
    ("POST", "/keys/{key_id}/rotate"): 201,
    ("POST", "/jobs/{job_id}/retry"): 202,
    # Nothing was uploaded, nothing was named before, production names the version, and a file is no JSON.
    ("POST", "/models/{name}/versions"): 404,
    ("POST", "/models/{name}/rollback"): 404,
    ("POST", "/models/{name}/aliases/{alias}/rollback"): 404,
    ("DELETE", "/models/{name}/aliases/{alias}"): 404,
    ("DELETE", "/models/{name}/versions/{version}"): 409,
    ("POST", "/uploads"): 415,
    **{("POST", path): 202 for path in PREDICTION_PATHS if path.endswith("async")},
}
OTHERS = {route: 404 if "{job_id}" in route[1] else RIGHT.get(route, 200) for route in ROUTE_SCOPES}
CALLERS = ("none", "malformed", "a wrong checksum", "unknown", "a wrong secret", "expired", "revoked", "wrong scope",
           "other owner", "right")  # fmt: skip


@dataclass
class Table:
    """What the table's requests are made with."""

    guarded: Guarded
    job: str
    key_id: str

    def path(self, method: str, template: str) -> str:
        filled = {
            "{alias}": "nothing" if method == "DELETE" else "production",
            "{name}": "start.js" if template.startswith("/docs") else "iris",
            "{version}": "1",
            "{job_id}": self.job,
            "{key_id}": self.key_id,
        }
        for part, value in filled.items():
            template = template.replace(part, value)
        return template

    def call(self, method: str, template: str, key: str | None, **options: Any) -> httpx.Response:
        return self.guarded.call(
            method, self.path(method, template), key, json=BODIES.get((method, template)), **options
        )


@pytest.fixture(scope="module")
def callers(guarded: Guarded) -> dict[str, str | None]:
    """A key of each kind."""
    right = guarded.make("right", owner="alice")
    unlike = "a" if right[-1] != "a" else "b"
    guarded.make("other owner", owner="mallory")
    guarded.make("expired", expires_in=1, owner="alice")
    guarded.make("revoked", owner="alice")
    guarded.make("narrow", models=["churn"])
    guarded.make("alices narrow", models=["churn"], owner="alice")
    guarded.make("two jobs", waiting_jobs=2, owner="patient")
    for scope in {*ROUTE_SCOPES.values()}:
        others = tuple(other for other in ("predict", "jobs", "keys:admin", "metrics") if other != scope)
        guarded.make(f"not {scope}", others, owner="alice")
    guarded.until_known(
        "two jobs",
        "narrow",
        "alices narrow",
        "right",
        "other owner",
        "revoked",
        *(f"not {scope}" for scope in ROUTE_SCOPES.values()),
    )
    assert guarded.call("DELETE", f"/keys/{guarded.texts['revoked'][4:12]}", "admin").status_code == 200
    eventually(lambda: guarded.call("GET", "/jobs", "expired").status_code == 401)
    return {
        "none": None,
        "malformed": "aip_no-key-at-all",
        "a wrong checksum": right[:-1] + unlike,
        "unknown": "aip_00000000" + right[12:],
        "a wrong secret": right[:13] + right[13:56][::-1] + right[56:],
        "expired": guarded.texts["expired"],
        "revoked": guarded.texts["revoked"],
        "other owner": guarded.texts["other owner"],
        "right": right,
    }


@pytest.fixture
def table(guarded: Guarded, callers: dict[str, str | None]) -> Iterator[Table]:
    """A cancelled job of alice's, and a key of hers to do things to."""
    accepted = guarded.call("POST", "/predict/async", "right", json=SAMPLE)
    guarded.call("POST", f"/jobs/{accepted.json()['id']}/cancel", "right")
    made = guarded.call("POST", "/keys", "admin", json={"owner": "alice", "scopes": ["predict"]}).json()
    yield Table(guarded, accepted.json()["id"], made["id"])
    with psycopg.connect(guarded.settings.database_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM jobs")
        connection.execute("DELETE FROM idempotency_keys")


def test_every_prediction_path_is_declared() -> None:
    assert [one.path for one in predictions.declared()] == PREDICTION_PATHS


@pytest.mark.parametrize("route", ROUTE_SCOPES, ids=" ".join)
def test_each_kind_of_caller_is_answered_as_it_should_be(
    table: Table, callers: dict[str, str | None], route: tuple[str, str]
) -> None:
    method, template = route
    for caller in CALLERS:
        if caller == "wrong scope":
            answer = table.call(method, template, f"not {ROUTE_SCOPES[route]}")
            expected = 403 if ROUTE_SCOPES[route] else RIGHT.get(route, 200)
        else:
            answer = table.call(method, template, callers[caller])
            expected = {"other owner": OTHERS[route], "right": RIGHT.get(route, 200)}.get(caller, 401)
        if caller == "right" and template == "/jobs/{job_id}/cancel":
            expected = 409  # it is cancelled already, which is nobody else's to know
        if caller == "right" and method == "POST" and "{key_id}" in template:
            expected = 201
        assert answer.status_code == expected, (caller, answer.text)
        if expected in {401, 403}:
            code = "unauthenticated" if expected == 401 else "forbidden"
            assert answer.json()["code"] == code
            assert ("www-authenticate" in answer.headers) == (expected == 401)


@pytest.mark.parametrize("route", [route for route in ROUTE_SCOPES if "{job_id}" in route[1]], ids=" ".join)
def test_the_job_of_another_is_answered_like_one_that_does_not_exist(table: Table, route: tuple[str, str]) -> None:
    def seen(job: str) -> tuple[int, dict[str, str], bytes]:
        path = route[1].replace("{job_id}", job)
        answer = table.guarded.call(route[0], path, "other owner", headers={"X-Request-ID": "the-same"})
        return answer.status_code, {k: v for k, v in answer.headers.items() if k != "date"}, answer.content

    assert seen(table.job) == seen(str(uuid.uuid4()))


def test_all_kinds_of_bad_key_get_one_answer(table: Table, callers: dict[str, str | None]) -> None:
    def answer(key: str | None) -> tuple[int, bytes]:
        found = table.guarded.call("GET", "/jobs", key, headers={"X-Request-ID": "the-same"})
        return found.status_code, found.content

    bad = ("none", "malformed", "a wrong checksum", "unknown", "a wrong secret", "expired", "revoked")
    assert len({answer(callers[caller]) for caller in bad}) == 1
    assert answer("x" * 10_000) == answer(None)


def test_a_list_shows_only_ones_own_jobs_and_a_key_of_idempotency_is_ones_own(table: Table) -> None:
    mine = table.guarded.call("GET", "/jobs", "right").json()["jobs"]
    assert [job["id"] for job in mine] == [table.job]
    assert table.guarded.call("GET", "/jobs", "other owner").json()["jobs"] == []
    headers = {"Idempotency-Key": "one-for-both"}
    first = table.guarded.call("POST", "/predict/async", "right", json=SAMPLE, headers=headers)
    again = table.guarded.call("POST", "/predict/async", "right", json=SAMPLE, headers=headers)
    other = {"features": [6.0, 3.0, 4.8, 1.8]}
    theirs = table.guarded.call("POST", "/predict/async", "other owner", json=other, headers=headers)
    assert [answer.status_code for answer in (first, again, theirs)] == [202, 202, 202]
    assert first.json()["id"] == again.json()["id"] != theirs.json()["id"]


def test_an_unknown_path_asks_for_a_key_too(guarded: Guarded, callers: dict[str, str | None]) -> None:
    assert guarded.call("GET", "/nothing/here").status_code == 401
    assert guarded.call("GET", "/nothing/here", "right").status_code == 404
    assert guarded.call("GET", "/predict/").status_code == 401


def test_without_a_key_health_and_the_root_say_only_how_it_is(guarded: Guarded, callers: dict[str, str | None]) -> None:
    for key in (None, callers["revoked"], callers["malformed"]):
        assert guarded.call("GET", "/health", key).json() == {"status": "degraded"}  # no worker runs here
        assert "version" not in guarded.call("GET", "/", key).json()
        assert guarded.call("GET", "/health/live", key).json() == {"status": "ok"}
        assert guarded.call("GET", "/health/ready", key).status_code == 200
    known = guarded.call("GET", "/health", "right").json()
    assert (known["auth"], known["model"]["name"]) == ("on", "iris")
    assert "version" in guarded.call("GET", "/", "right").json()


def test_a_key_may_come_in_either_header_and_two_that_differ_are_refused(
    guarded: Guarded, callers: dict[str, str | None]
) -> None:
    right, other = callers["right"], callers["other owner"]
    assert right is not None
    assert other is not None
    assert guarded.call("GET", "/jobs", headers={"X-API-Key": right}).status_code == 200
    assert guarded.call("GET", "/jobs", right, headers={"X-API-Key": right}).status_code == 200
    assert guarded.call("GET", "/jobs", right, headers={"X-API-Key": other}).status_code == 401
    assert guarded.call("GET", "/jobs", headers={"Authorization": "Basic eDp5", "X-API-Key": right}).status_code == 200
    assert guarded.call("GET", "/jobs", headers={"Authorization": f"bearer  {right}"}).status_code == 200


@pytest.mark.parametrize("form", ["?api_key={}", "?X-API-Key={}", "?x={}", "?access_token=1", "/{}", "?%61pi_key=1"])
def test_a_key_in_the_url_is_refused_whatever_its_name(
    guarded: Guarded, callers: dict[str, str | None], form: str
) -> None:
    for path in ("/predict/", "/health", "/jobs"):
        answer = guarded.call("GET", path.rstrip("/") + form.format(callers["right"]), "right")
        if form == "?%61pi_key=1":
            assert answer.status_code != 200 or path == "/health"
        else:
            assert (answer.status_code, answer.json()["code"]) == (400, "key_in_url")
    escaped = str(callers["right"]).replace("aip_", "%61ip%5F")
    assert guarded.call("GET", f"/health?x={escaped}").json()["code"] == "key_in_url"


def test_a_key_with_an_allow_list_uses_no_other_model_whether_or_not_it_exists(
    guarded: Guarded, callers: dict[str, str | None]
) -> None:
    for path in ("/predict/", "/predict/async", "/models/iris/predict", "/models/nonsense/predict"):
        assert guarded.call("POST", path, "narrow", json=SAMPLE).json()["code"] == "forbidden"
    assert guarded.call("POST", "/models/churn/predict", "narrow", json=SAMPLE).json()["code"] == "model_not_found"


# Where a key for "churn" alone meets "iris": by name in the path, by a job or a key of it, or in what a list tells.
BY_NAME = [route for route in ROUTE_SCOPES if "{name}" in route[1] and not route[1].startswith("/docs")]
OF_JOBS = [route for route in ROUTE_SCOPES if "{job_id}" in route[1]]
OF_KEYS = [route for route in ROUTE_SCOPES if "{key_id}" in route[1]]
DEFAULT = [route for route in ROUTE_SCOPES if route[1] in {"/predict/", "/predict/async"}]
LISTS = [
    ("GET", path)
    for path in ("/models", "/jobs", "/keys", "/audit", "/metrics", "/openapi.json", *sorted(PUBLIC_ROUTES))
]
WITHOUT_MODELS = {("GET", "/docs"), ("GET", "/docs/start.js"), ("GET", "/docs/{name}"), ("POST", "/uploads"),
                  ("POST", "/keys")}  # fmt: skip


def test_every_route_says_how_it_treats_a_key_for_some_models_alone() -> None:
    said = [*BY_NAME, *OF_JOBS, *OF_KEYS, *DEFAULT, *LISTS, *WITHOUT_MODELS]
    assert set(said) == set(ROUTE_SCOPES) | {("GET", path) for path in PUBLIC_ROUTES}
    assert len(said) == len(set(said))


@pytest.mark.parametrize("route", [*BY_NAME, *OF_JOBS, *OF_KEYS, *DEFAULT], ids=" ".join)
def test_a_key_for_one_model_does_nothing_to_another(table: Table, route: tuple[str, str]) -> None:
    """To the job of another model of its own owner, and to keys for other models, as little as to strangers'."""
    answer = table.call(*route, "alices narrow")
    expected = 404 if route in OF_JOBS or route in OF_KEYS else 403
    assert answer.status_code == expected, answer.text
    if route in OF_KEYS:
        admin = table.guarded.texts["admin"][4:12]
        path = route[1].replace("{key_id}", admin)
        assert table.guarded.call(route[0], path, "alices narrow").json()["code"] == "key_not_found"
        assert table.guarded.call("GET", "/keys", "admin").status_code == 200


@pytest.mark.parametrize("route", LISTS, ids=" ".join)
def test_a_key_for_one_model_reads_of_no_other(table: Table, route: tuple[str, str]) -> None:
    table.guarded.call("POST", "/predict/", "right", json=SAMPLE)
    of_iris = {"owner": "x", "scopes": ["predict"], "models": ["iris"]}
    assert table.guarded.call("POST", "/keys", "admin", json=of_iris).status_code == 201
    whole = table.guarded.call(*route, "right").text
    seen = table.guarded.call(*route, "alices narrow")
    assert seen.status_code == 200
    assert "iris" not in seen.text, seen.text
    assert "churn" in seen.text or route[1] != "/keys"
    assert "iris" in whole or route[1] in {"/", "/health/live", "/health/ready"}


def test_a_key_that_is_bound_in_everything_makes_none_that_is_not(guarded: Guarded) -> None:
    bound: dict[str, Any] = {
        "models": ["churn"],
        "expires_in": 3600,
        "rows_per_second": 100,
        "burst_rows": 100,
        "waiting_jobs": 5,
    }
    guarded.make("bound", **bound)
    guarded.until_known("bound")
    wanted = {"owner": "x", "scopes": ["predict"], **bound, "expires_in": 1000}
    for name in bound:
        wider = {field: value for field, value in wanted.items() if field != name}
        answer = guarded.call("POST", "/keys", "bound", json=wider)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), name
    made = guarded.call("POST", "/keys", "bound", json=wanted)
    assert made.status_code == 201, made.text
    again = guarded.call("POST", f"/keys/{made.json()['id']}/rotate", "bound")
    assert again.status_code == 201, again.text
    assert guarded.call("DELETE", f"/keys/{again.json()['id']}", "bound").status_code == 200
    assert {key["owner"] for key in guarded.call("GET", "/keys", "bound").json()["keys"]} >= {"x", "bound"}


def test_queued_jobs_are_bounded_by_the_keys_own_number(guarded: Guarded, callers: dict[str, str | None]) -> None:
    answers = [guarded.call("POST", "/predict/async", "two jobs", json=SAMPLE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[-1].json()["code"] == "too_many_jobs"


async def _nobodys() -> str:
    return "open"


def test_a_route_without_a_scope_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="scope"):
        Routes("x").declare("GET", "/forgotten", summary="No scope")  # type: ignore[call-arg]


def test_a_route_that_asks_for_no_key_must_be_one_of_the_public_ones() -> None:
    for scope, path in ((PUBLIC, "/forgotten"), ("jobs", "/health")):
        with pytest.raises(TypeError, match="PUBLIC_ROUTES"):
            Routes("x").declare("GET", path, scope=scope, summary="Open")


def test_a_route_that_says_nothing_of_its_answer_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="answers"):
        Routes("x").declare("GET", "/mute", scope=ANY, summary="Mute")(_nobodys)


def test_the_application_answers_what_is_declared_and_nothing_beside_it(settings: Settings) -> None:
    served = {getattr(route, "path", None) for route in application.create(settings).routes.routes}
    assert served == {one.path for group in application.ROUTES for one in group.declared}
