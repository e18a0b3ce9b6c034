"""Models over HTTP: what is shown, how aliases move, what is refused, and uploads from file to prediction."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import lightgbm
import pandas as pd
import pytest

from ai_platform.models.registry import versions
from ai_platform.settings import Settings
from ai_platform.storage import audit
from ai_platform.storage.postgres import Database
from harness import SAMPLE, Iris, Platform, eventually, publish_iris

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def site(module_settings: Settings, iris: Iris) -> Iterator[Platform]:
    """An API alone, with iris in three versions, and uploads on."""
    models = module_settings.models.model_copy(update={"uploads": True, "upload_mb": 1})
    settings = module_settings.model_copy(update={"models": models})
    for _ in range(2):
        publish_iris(settings, iris)
    with Platform.running(settings, "api") as running:
        yield running


@pytest.fixture(autouse=True)
def production_is_3(site: Platform) -> None:
    put(site, "production", 3)


def put(site: Platform, alias: str, version: int) -> Any:
    answer = site.client.put(f"/models/iris/aliases/{alias}", json={"version": version})
    assert answer.status_code == 200, answer.text
    return answer.json()


def serves(site: Platform, version: int, path: str = "/predict/") -> None:
    eventually(lambda: _answers_with(site, path, version), 2, f"version {version} serves {path}")


def _answers_with(site: Platform, path: str, version: int) -> bool:
    answer = site.client.post(path, json=SAMPLE)
    return bool(answer.status_code == 200 and answer.json()["version"] == version)


def predict(site: Platform, path: str = "/predict/", **headers: str) -> Any:
    answer = site.client.post(path, json=SAMPLE, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


def test_models_are_listed_with_what_their_aliases_name(site: Platform) -> None:
    (model,) = site.client.get("/models").json()["models"]
    assert (model["name"], model["aliases"][0]["name"]) == ("iris", "production")
    assert model["aliases"][0]["targets"] == [{"version": 3, "weight": 100}]
    assert (
        site.client.get("/models/iris").json()["versions"]
        == site.client.get("/models/iris/versions").json()["versions"]
    )


def test_a_version_shows_its_inputs_and_in_which_form_it_is_served(site: Platform) -> None:
    version = site.client.get("/models/iris/versions/1").json()
    assert version["inputs"][0]["name"] == "sepal_length"
    assert (version["form"], version["signed"], version["classes"][0]) == ("compiled", True, "setosa")


def test_the_file_of_a_version_is_the_one_that_was_published(site: Platform, iris: Iris) -> None:
    answer = site.client.get("/models/iris/versions/1/artifact")
    assert answer.content == iris.files.artifact.read_bytes()
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'


def test_a_promotion_is_served_within_two_seconds_and_rolled_back_by_one_call(site: Platform) -> None:
    assert site.client.post("/models/iris/promote", json={"version": 2}).json()["targets"][0]["version"] == 2
    serves(site, 2)
    assert site.client.post("/models/iris/rollback").json()["targets"][0]["version"] == 3
    serves(site, 3)


def test_any_alias_predicts_and_any_version_too(site: Platform) -> None:
    put(site, "candidate", 1)
    serves(site, 1, "/models/iris/aliases/candidate/predict")
    assert predict(site, "/models/iris/versions/2/predict")["version"] == 2
    assert predict(site, "/models/iris/predict")["version"] == 3
    assert site.client.post("/models/iris/aliases/candidate/predict/async", json=SAMPLE).json()["version"] == 1
    assert site.client.delete("/models/iris/aliases/candidate").status_code == 204
    gone = lambda: site.client.post("/models/iris/aliases/candidate/predict", json=SAMPLE).status_code == 404  # noqa: E731
    eventually(gone, 2, "the alias is gone")


def test_a_caller_stays_on_one_version_where_an_alias_names_several(site: Platform) -> None:
    targets = [{"version": 1, "weight": 50}, {"version": 2, "weight": 50}]
    assert site.client.put("/models/iris/aliases/production", json={"targets": targets}).status_code == 200

    def seen(**headers: str) -> set[int]:
        return {predict(site, **headers)["version"] for _ in range(24)}

    eventually(lambda: seen() == {1, 2}, 2, "both versions serve callers without a name")
    by_caller = [seen(**{"X-Caller-ID": f"caller-{number}"}) for number in range(12)]
    assert all(len(versions) == 1 for versions in by_caller)
    assert set.union(*by_caller) == {1, 2}


@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"),
    [
        ("GET", "/models/nothing", None, (404, "model_not_found")),
        ("GET", "/models/No%20Name", None, (422, "invalid_parameter")),
        ("GET", "/models/iris/versions/99", None, (404, "model_not_found")),
        ("GET", "/models/iris/versions/0", None, (422, "invalid_parameter")),
        ("GET", "/models/iris/versions/one/artifact", None, (422, "invalid_parameter")),
        ("GET", "/models/..%2f..%2fetc/versions", None, (404, "not_found")),
        ("DELETE", "/models/iris/versions/3", None, (409, "version_in_use")),
        ("PUT", "/models/iris/aliases/Up", {"version": 1}, (422, "invalid_parameter")),
        ("PUT", "/models/iris/aliases/up", {"version": 99}, (404, "model_not_found")),
        ("PUT", "/models/iris/aliases/up", {}, (422, "invalid_input")),
        ("PUT", "/models/iris/aliases/up", {"version": True}, (422, "invalid_input")),
        ("PUT", "/models/iris/aliases/up", {"version": 1, "targets": []}, (422, "invalid_input")),
        ("PUT", "/models/iris/aliases/up", {"targets": [{"version": 1, "weight": 0}]}, (422, "invalid_input")),
        ("PUT", "/models/iris/aliases/up", {"version": 1, "extra": 2}, (422, "invalid_input")),
        ("POST", "/models/iris/promote", [], (422, "invalid_input")),
        ("POST", "/models/iris/promote", {"version": 10**12}, (422, "invalid_input")),
        ("POST", "/models/iris/promote", {"version": 1, "alias": "No"}, (422, "invalid_input")),
        ("POST", "/models/iris/aliases/never/rollback", None, (404, "model_not_found")),
        ("DELETE", "/models/iris/aliases/never", None, (404, "model_not_found")),
        ("POST", "/models/iris/versions", {"sha256": "0" * 64, "format": "onnx"}, (404, "upload_not_found")),
        ("POST", "/models/iris/versions", {"sha256": "0" * 64}, (422, "invalid_input")),
        ("POST", "/models/iris/versions", {"sha256": "x", "format": "onnx"}, (422, "invalid_input")),
        ("POST", "/models/iris/aliases/Nope/predict", SAMPLE, (422, "invalid_parameter")),
        ("POST", "/models/iris/aliases/nope/predict", SAMPLE, (404, "model_not_found")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_is_wrong(
    site: Platform, method: str, path: str, body: Any, wanted: tuple[int, str]
) -> None:
    refused(site.client.request(method, path, json=body), *wanted)


def test_a_fault_in_a_body_is_pointed_to(site: Platform) -> None:
    targets = {"targets": [{"version": 1}, {"version": "2"}]}
    answer = refused(site.client.put("/models/iris/aliases/up", json=targets), 422, "invalid_input")
    assert answer["errors"][0]["pointer"] == "/targets/1/version"


def test_an_unsigned_pickle_is_refused_however_it_is_sent(site: Platform, iris: Iris) -> None:
    sha256 = sent(site, iris.files.artifact.read_bytes())
    answer = site.client.post("/models/iris/versions", json={"sha256": sha256, "format": "sklearn-pickle"})
    assert "signed" in refused(answer, 422, "artifact_refused")["detail"]
    with Database.of(site.settings).connect("test") as connection:
        entry = audit.entries(connection, limit=1)[0]
    assert (entry.action, entry.subject, entry.outcome) == ("model.publish", "iris", "refused")


def test_a_signed_file_goes_from_upload_to_prediction(site: Platform, iris: Iris) -> None:
    signed = iris.files.signed()
    body = {
        "sha256": sent(site, iris.files.artifact.read_bytes()),
        "manifest": signed.manifest.decode(),
        "manifest_signature": signed.signature.decode(),
        "alias": "uploaded",
    }
    answer = site.client.post("/models/iris/versions", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["aliases"], answer.headers["location"]) == (["uploaded"], f"/models/iris/versions/{made['version']}")
    serves(site, made["version"], "/models/iris/aliases/uploaded/predict")
    assert site.client.delete("/models/iris/aliases/uploaded").status_code == 204
    assert site.client.delete(f"/models/iris/versions/{made['version']}").status_code == 204


def test_a_manifest_of_another_model_or_file_is_refused(site: Platform, iris: Iris) -> None:
    signed = iris.files.signed()
    body = {
        "sha256": "0" * 64,
        "manifest": signed.manifest.decode(),
        "manifest_signature": signed.signature.decode(),
    }
    for path, pointer in (("/models/iris/versions", "/manifest"), ("/models/other/versions", "/manifest")):
        answer = refused(site.client.post(path, json=body), 422, "invalid_input")
        assert answer["errors"][0]["pointer"] == pointer


def test_an_upload_is_bounded_while_it_streams(site: Platform) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 600_000

    refused(site.client.post("/uploads", content=parts(), headers=OCTETS), 413, "body_too_large")


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/json"}, {**OCTETS, "Content-Encoding": "gzip"}], ids=["json", "gzip"]
)
def test_an_upload_of_another_type_is_refused(site: Platform, headers: dict[str, str]) -> None:
    refused(site.client.post("/uploads", content=b"{}", headers=headers), 415, "unsupported_media_type")


def test_uploads_are_off_unless_an_operator_turns_them_on(platform: Platform) -> None:
    refused(platform.client.post("/uploads", content=b"x", headers=OCTETS), 403, "uploads_off")


def test_the_openapi_document_has_each_models_schema_and_each_route(site: Platform) -> None:
    document = site.client.get("/openapi.json").json()
    assert "Input_iris" in document["components"]["schemas"]
    body = document["paths"]["/models/{name}/versions"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert "sha256" in document["components"]["schemas"][name]["properties"]
    assert "#/$defs" not in json.dumps(document)


@pytest.mark.parametrize(("extra", "status"), [("ignore", 200), ("refuse", 422)])
def test_a_strangers_name_is_ignored_where_the_publisher_said_so(site: Platform, extra: str, status: int) -> None:
    table = pd.DataFrame({"mean radius": range(40)})
    booster = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1).fit(table, table["mean radius"]).booster_
    body = {
        "sha256": sent(site, booster.model_to_string().encode()),
        "format": "lightgbm",
        "inputs": [{"name": "id", "type": "string"}, {"name": "mean radius"}],
        "rows": [["a", 3]],
        "extra": extra,
    }
    name = f"radius-{extra}"
    made = site.client.post(f"/models/{name}/versions", json=body)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["ignored"], shown["extra"]) == (["id"], extra)

    def asked(**more: Any) -> httpx.Response:
        return site.client.post(f"/models/{name}/versions/1/predict", json={"features": {"mean radius": 3, **more}})

    eventually(lambda: asked().status_code == 200, 5, "it answers")
    assert asked(id="a").json()["prediction"] == asked().json()["prediction"]
    assert asked(note="x").status_code == status
    schema = site.client.get("/openapi.json").json()["components"]["schemas"][f"Input_{name}"]
    assert f'"additionalProperties": {json.dumps(extra == "ignore")}' in json.dumps(schema)


def test_a_deleted_version_is_gone_and_the_record_says_who_did_it(site: Platform, iris: Iris) -> None:
    version = publish_iris(site.settings, iris)
    put(site, "production", 3)
    assert site.client.delete(f"/models/iris/versions/{version}").status_code == 204
    refused(site.client.get(f"/models/iris/versions/{version}"), 404, "model_not_found")
    with Database.of(site.settings).connect("test") as connection:
        (entry,) = audit.entries(connection, limit=9, subject=f"iris/{version}")
        assert version not in {one.version for one in versions.of_model(connection, "iris")}
    assert (entry.actor, entry.action) == ("anonymous", "model.delete")


def sent(site: Platform, content: bytes) -> str:
    answer = site.client.post("/uploads", content=content, headers=OCTETS)
    assert answer.status_code == 201, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(content).hexdigest()
    return str(answer.json()["sha256"])
