"""Outputs that are not finite: one documented thing on every way that an answer takes."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from ai_platform.errors import ModelFailed, NonFiniteOutput
from ai_platform.inputs.instances import Instances
from ai_platform.jobs.computing import Claimed, compute
from ai_platform.models.loading.loader import ServedModel
from ai_platform.models.loading.signing import signer
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.manifest import Golden, Manifest, decode, encode
from ai_platform.predictions.compute import ipc
from ai_platform.predictions.model.answer import AnswerEncoder
from ai_platform.predictions.model.prepared import PreparedModel, prepare
from ai_platform.runtimes.base.non_finite import MOST_LISTED
from ai_platform.runtimes.base.runtime import Outputs, Value
from ai_platform.runtimes.base.signature import Feature, Signature
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import LimitSettings, NonFinite, Settings
from ai_platform.storage.postgres import Database
from api_in_thread import live
from harness import Iris, eventually

NAN, INF = float("nan"), float("inf")
SOURCE = b"""class Model:
    def predict(self, rows):
        return [row[0] / 1.0 if row[0] else float("nan") for row in rows]
"""
ROWS: list[list[Value]] = [[0.0], [1.0], [0.0]]
REASON = {"count": 2, "values": [{"pointer": "/predictions/0", "value": "NaN"},
                                 {"pointer": "/predictions/2", "value": "NaN"}]}  # fmt: skip
ONE_REASON = {"count": 1, "values": [{"pointer": "/prediction", "value": "NaN"}]}


def manifest() -> Manifest:
    return decode(
        encode(
            Manifest(
                model="ratio", format="python", sha256=hashlib.sha256(SOURCE).hexdigest(), size=len(SOURCE),
                signature=Signature(inputs=(Feature(name="x", example=1.0),)),
                libraries=FORMATS["python"].libraries(), metrics={}, golden=Golden(ROWS, [NAN, 1.0, NAN]),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )
    )  # fmt: skip


def with_models(settings: Settings, **changed: Any) -> Settings:
    """Ready when the model of this module is there too, whose process takes its time to start on a busy machine."""
    return settings.model_copy(update={"models": settings.models.model_copy(update={"ready": "all", **changed})})


def publish(settings: Settings, iris: Iris) -> None:
    artifact = settings.data_dir / "ratio.py"
    artifact.write_bytes(SOURCE)
    described = encode(manifest())
    signature = signer(iris.signing_key, iris.keys).sign(described)
    with Database.of(settings).connect("test") as connection:
        version = versions.add(connection, artifact, described, signature, created_by="test")
        aliases.point(connection, "ratio", aliases.PRODUCTION, (aliases.Target(version),), by="test")


def prepared(non_finite: NonFinite, tmp_path: Path) -> PreparedModel:
    (tmp_path / "ratio.py").write_bytes(SOURCE)
    with (tmp_path / "ratio.py").open("rb") as artifact:
        loaded = FORMATS["python"].load(artifact, manifest().signature)
    served = ServedModel("ratio", 1, manifest(), loaded, "native", 1)
    return prepare(served, LimitSettings.model_validate({}), non_finite=non_finite)


def jobs_of(*given: Instances) -> list[Claimed]:
    return [Claimed(uuid.uuid4(), "ratio", 1, instances, 1) for instances in given]


@pytest.fixture(params=["off", "on"])
def api(request: pytest.FixtureRequest, settings: Settings, iris: Iris) -> Iterator[httpx.Client]:
    """An API that answers at once, and one that asks the cache first."""
    publish(settings, iris)
    cache = settings.cache.model_copy(update={"mode": request.param})
    with live(with_models(settings.model_copy(update={"cache": cache}))) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def strict(settings: Settings, iris: Iris) -> Iterator[httpx.Client]:
    publish(settings, iris)
    with live(with_models(settings, non_finite="error")) as url, httpx.Client(base_url=url) as client:
        yield client


def test_an_answer_has_null_and_says_what_stood_there(api: httpx.Client) -> None:
    for headers in ({}, {"X-Request-Timeout-Ms": "9000"}):  # the fast path, and the slow path
        for _ in range(2):  # the second may come from the cache
            many = api.post("/models/ratio/predict", json={"instances": ROWS}, headers=headers).json()
            assert (many["predictions"], many["non_finite"]) == ([None, 1.0, None], REASON)
            one = api.post("/models/ratio/predict", json={"features": [0.0]}, headers=headers).json()
            assert (one["prediction"], one["non_finite"]) == (None, ONE_REASON)
    assert "non_finite" not in api.post("/models/ratio/predict", json={"instances": [[1.0]]}).json()


def test_by_setting_it_is_an_error_that_says_so(strict: httpx.Client) -> None:
    for body, pointer in (({"instances": ROWS}, "/predictions/0"), ({"features": [0.0]}, "/prediction")):
        refused = strict.post("/models/ratio/predict", json=body)
        assert (refused.status_code, refused.json()["code"]) == (500, "non_finite_output")
        assert refused.json()["detail"] == f"the model's output at {pointer} is NaN, which is no number in JSON"
    assert strict.post("/models/ratio/predict", json={"features": [1.0]}).json()["prediction"] == 1.0


def test_an_answer_of_the_other_setting_is_not_taken_from_the_cache(settings: Settings, iris: Iris) -> None:
    publish(settings, iris)
    cache = settings.cache.model_copy(update={"mode": "on"})
    settings = settings.model_copy(update={"cache": cache})
    body = {"instances": ROWS}
    with live(with_models(settings)) as url, httpx.Client(base_url=url) as client:
        path = "/models/ratio/predict"
        assert eventually(lambda: client.post(path, json=body).headers.get("x-cache") == "hit")
    with live(with_models(settings, non_finite="error")) as url:
        assert httpx.post(f"{url}/models/ratio/predict", json=body).json()["code"] == "non_finite_output"


def test_jobs_that_are_computed_together_say_it_each_for_itself(tmp_path: Path) -> None:
    group = jobs_of(Instances(ROWS, single=False), Instances([[1.0]], single=True), Instances([[0.0]], single=True))
    results = [orjson.loads(one.result or "") for one in compute(prepared("null", tmp_path), group, lambda: None)]
    assert [result.get("non_finite") for result in results] == [REASON, None, ONE_REASON]


def test_by_setting_a_job_fails_and_its_neighbours_do_not(tmp_path: Path) -> None:
    group = jobs_of(Instances(ROWS, single=False), Instances([[1.0]], single=True))
    failed, fine = compute(prepared("error", tmp_path), group, lambda: None)
    assert (failed.code, fine.code) == ("non_finite_output", None)
    assert "/predictions/0 is NaN" in str(failed.detail)


def test_what_comes_from_a_compute_process_is_as_it_was() -> None:
    sent = ipc.Computed(1, 0.1, Outputs([NAN, INF, -INF], None, [[NAN, 1.0]] * 3))
    read = ipc.answers.decode(ipc.frame(sent)[ipc.LENGTH.size :])
    assert isinstance(read, ipc.Computed)
    answer = orjson.loads(AnswerEncoder("m", 1, Signature(inputs=())).encode(read.outputs, single=False))
    assert [one["value"] for one in answer["non_finite"]["values"]] == ["NaN", "Infinity", "-Infinity"] + ["NaN"] * 3
    assert answer["non_finite"]["values"][3]["pointer"] == "/probabilities/0/0"


def test_what_an_answer_lists_is_bounded_and_all_are_counted() -> None:
    answer = orjson.loads(
        AnswerEncoder("m", 1, Signature(inputs=())).encode(Outputs([[NAN] * 1_000] * 10), single=False)
    )
    assert (answer["non_finite"]["count"], len(answer["non_finite"]["values"])) == (10_000, MOST_LISTED)


@pytest.mark.parametrize("value", [None, "null", ["null", None]])
def test_a_null_or_a_text_of_the_model_is_no_number(value: Any) -> None:
    for setting in ("null", "error"):
        encoded = AnswerEncoder("m", 1, Signature(inputs=()), setting).encode(Outputs([value]), single=True)
        assert "non_finite" not in orjson.loads(encoded)


def test_an_output_without_a_form_in_json_is_the_models_failure() -> None:
    with pytest.raises(ModelFailed, match="no form in JSON"):
        AnswerEncoder("m", 1, Signature(inputs=())).encode(Outputs([{1, 2}]), single=True)


def test_pointers_lead_into_objects_too() -> None:
    with pytest.raises(NonFiniteOutput, match="/prediction/a~1b/0 is -Infinity"):
        AnswerEncoder("m", 1, Signature(inputs=()), "error").encode(Outputs([{"a/b": [-INF]}]), single=True)
