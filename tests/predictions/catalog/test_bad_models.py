"""Healthy models beside bad ones: the healthy answer, also after a restart, and each bad one is named everywhere.

`make isolation` asks for the numbers of the promise.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from ai_platform.models.publishing import Publisher
from ai_platform.models.registry.aliases import PRODUCTION, Target
from ai_platform.settings import Settings
from harness import SAMPLE, Iris, Platform, environment, eventually
from predictions.catalog.unvalidated import ANSWER, BAD, HEALTHY, LATER, ROW, named, put

pytestmark = pytest.mark.slow

HEALTHY_MODELS = int(os.environ.get("ISOLATION_HEALTHY", "6"))
BAD_MODELS = int(os.environ.get("ISOLATION_BAD", str(len(BAD))))
# Bad ones sort before the others: what comes first must not hold up what comes after.
HEALTHY_NAMES = named(list(HEALTHY), HEALTHY_MODELS, "well")
BAD_NAMES = named(list(BAD), BAD_MODELS, "bad")
PATIENCE = 120.0


@pytest.fixture(scope="module")
def site(module_settings: Settings, iris: Iris) -> Iterator[Platform]:
    models = module_settings.models.model_copy(update={"load_seconds": 4.0, "validation_memory_mb": 1_536})
    settings = module_settings.model_copy(update={"models": models})
    for name, kind in BAD_NAMES.items():
        put(settings, iris, name, *BAD[kind]())
    for name, kind in HEALTHY_NAMES.items():
        put(settings, iris, name, *HEALTHY[kind]())
    with Platform.running(settings) as running:
        yield running


def answers(site: Platform, name: str) -> bool:
    answer = site.client.post(f"/models/{name}/predict", json={"instances": [ROW, ROW]})
    return answer.status_code == 200 and answer.json()["predictions"] == pytest.approx([ANSWER, ANSWER], abs=1e-4)


def assert_the_healthy_answer(site: Platform, seconds: float) -> None:
    begun = time.monotonic()
    for name in HEALTHY_NAMES:
        left = max(0.1, seconds - (time.monotonic() - begun))
        eventually(partial(answers, site, name), left, f"{name} answers")
    print(f"{len(HEALTHY_NAMES)} healthy models answered {time.monotonic() - begun:.1f} s after the API was ready")
    assert site.client.get("/health/ready").status_code == 200


def failed(site: Platform) -> dict[str, str]:
    """Each model that `/health` names, with why."""
    return {one["model"]: one["why"] for one in site.client.get("/health").json()["models"]["troubled"]}


def wear_out(site: Platform, name: str) -> None:
    """Ask until what shows only later has shown; another process may answer all the same."""

    def shows() -> bool:
        for _ in range(5):
            site.client.post(f"/models/{name}/predict", json={"instances": [ROW] * 400})
        return name in failed(site)

    eventually(shows, 120, f"a call of {name} fails")


def test_every_healthy_model_answers_beside_the_bad_ones(site: Platform) -> None:
    assert_the_healthy_answer(site, PATIENCE)
    assert site.client.post("/predict/", json=SAMPLE).status_code == 200


def test_each_bad_version_is_named_in_health_metrics_log_and_models_show(site: Platform) -> None:
    later = [name for name, kind in BAD_NAMES.items() if kind in LATER]
    for name in later:
        eventually(partial(answers, site, name), 30, f"{name} answers at first")
        wear_out(site, name)
    eventually(lambda: failed(site).keys() >= BAD_NAMES.keys(), 40, "health names each bad one")
    assert not failed(site).keys() & HEALTHY_NAMES.keys()
    assert all(failed(site).values())
    metrics = site.client.get("/metrics").text
    log = site.parts["api"].log.read_text()
    for name in BAD_NAMES:
        assert f'aip_version_failures_total{{model="{name}"' in metrics
        assert f"model={name} version=1 why=" in log
        assert log.count(f"model={name} version=1 why=") < 20
        serving = site.client.get(f"/models/{name}/versions/1").json()["serving"]
        assert serving["failed"] or serving["failed_calls"], (name, serving)
        assert serving["why"], (name, serving)
    shown = subprocess.run(
        [sys.executable, "-m", "ai_platform.cli", "models", "show", next(iter(BAD_NAMES)), "1"],
        env=environment(site.settings) | {"COLUMNS": "200"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "failed" in shown
    for name, why in failed(site).items():
        print(f"{name}: {why}")


def test_publishing_promoting_and_rolling_back_work_beside_them(site: Platform, iris: Iris) -> None:
    name = next(iter(HEALTHY_NAMES))
    put(site.settings, iris, name, *HEALTHY["python"]())
    for number in (1, 2, 1):
        Publisher.of(site.settings).promote(name, PRODUCTION, (Target(number),), by="test")
        answer = site.client.post(f"/models/{name}/predict", json={"instances": [ROW]})
        assert (answer.status_code, answer.json().get("version")) == (200, number), answer.text
    job = site.client.post(f"/models/{name}/predict/async", json={"instances": [ROW]}).json()
    assert site.job(job["id"], wait=20)["status"] == "succeeded"


def test_a_job_of_each_healthy_model_ends_well(site: Platform) -> None:
    ids = [
        site.client.post(f"/models/{name}/predict/async", json={"instances": [ROW]}).json()["id"]
        for name in HEALTHY_NAMES
    ]
    assert {site.job(job_id, wait=30)["status"] for job_id in ids} == {"succeeded"}


def test_after_a_restart_every_healthy_model_answers(site: Platform) -> None:
    for name in ("api", "worker"):
        site.parts[name].kill()
        site.start(name)
    eventually(lambda: site.answers("/health/ready"), 30, "the API is ready")
    assert_the_healthy_answer(site, PATIENCE)
    with pytest.raises(httpx.HTTPStatusError):
        site.client.post(f"/models/{next(iter(BAD_NAMES))}/predict", json={"instances": [ROW]}).raise_for_status()


def test_a_version_that_production_names_can_be_deleted_with_its_alias(site: Platform) -> None:
    name = next(iter(BAD_NAMES))
    assert Publisher.of(site.settings).delete(name, 1, by="test", with_aliases=True) == (PRODUCTION,)
    eventually(lambda: name not in failed(site), 10, "health forgets it")
