"""The prediction log of a whole API: every answer stands there as it was given, and no key ever does."""

import asyncio
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from typer.testing import CliRunner, Result

from ai_platform.access import keys
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.principal import ANONYMOUS
from ai_platform.cli.app import app
from ai_platform.codecs.platform_json import JSON
from ai_platform.errors import ModelFailed
from ai_platform.predictions.log.reading import LoggedPrediction, newest
from ai_platform.serving.bootstrap import Services
from ai_platform.serving.predictor import PredictionRequest
from ai_platform.settings import PREFIX, Settings
from ai_platform.storage.postgres import Database
from api_in_thread import live
from harness import SAMPLE, environment

BY_NAME = {"features": {"sepal_length": 6.5, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.0}}
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "watch-predictions.md"
QUESTIONS = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MANY = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.5, 3.0, 5.2, 2.0]]}


@dataclass
class Seen:
    """What callers were answered, and what stands in the log after the process has ended."""

    settings: Settings
    key: str
    key_id: str
    answers: list[tuple[dict[str, Any], httpx.Response]]
    logged: dict[str, LoggedPrediction]


@pytest.fixture(scope="module")
def wanted(module_settings: Settings) -> Settings:
    log = module_settings.prediction_log.model_copy(update={"sample": 1.0, "content": "all", "row_bytes": 500})
    cache = module_settings.cache.model_copy(update={"mode": "on"})
    return module_settings.model_copy(update={"prediction_log": log, "cache": cache, "auth": "on"})


@pytest.fixture(scope="module")
def seen(wanted: Settings) -> Seen:
    with Database.of(wanted).connect("test") as connection:
        key, made = keys.create(connection, KeySpec(owner="alice", scopes=["predict", "jobs"]), "test", None)
    headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "mine-1"}
    with live(wanted) as url, httpx.Client(base_url=url, headers=headers) as client:
        bodies: list[dict[str, Any]] = [SAMPLE, SAMPLE, BY_NAME, MANY, {"instances": [SAMPLE["features"]] * 100}]
        answers = [(body, client.post("/predict/", json=body)) for body in bodies]
        assert client.post("/predict/", json={"features": ["no number"]}).status_code == 422
        assert client.post("/predict/async", json=SAMPLE).status_code == 202
    with Database.of(wanted).connect("test") as connection:
        logged = {str(row.id): row for row in newest(connection, limit=100)}
    return Seen(wanted, key, made.id, answers, logged)


def test_every_prediction_is_logged_with_its_answers_id_and_nothing_else_is(seen: Seen) -> None:
    assert seen.logged.keys() == {answer.json()["id"] for _body, answer in seen.answers}


def test_what_is_logged_is_what_was_asked_and_answered(seen: Seen) -> None:
    for body, answer in seen.answers[:4]:
        row = seen.logged[answer.json()["id"]]
        assert row.output is not None
        assert {**row.output, "id": str(row.id)} == answer.json()
        assert row.input == {"rows": in_order(body), "single": "features" in body}
        assert (row.model, row.version, row.rows) == ("iris", 1, len(in_order(body)))
        assert (row.owner, row.key_id, row.request_id) == ("alice", seen.key_id, "mine-1")
        assert row.cache == answer.headers["x-cache"]
        assert (row.sample, row.code) == (1.0, None)
        assert 0 < row.seconds < 60
    assert [seen.logged[answer.json()["id"]].cache for _body, answer in seen.answers[:2]] == ["miss", "hit"]


def test_what_is_too_large_leaves_a_row_without_it(seen: Seen) -> None:
    row = seen.logged[seen.answers[4][1].json()["id"]]
    assert (row.rows, row.input, row.output) == (100, None, None)


def test_no_key_stands_in_the_log(seen: Seen) -> None:
    with psycopg.connect(seen.settings.database_dsn) as connection:
        text = "\n".join(row[0] for row in connection.execute("SELECT prediction_log::text FROM prediction_log"))
    assert seen.key_id in text
    assert seen.key not in text
    assert seen.key.removeprefix("aip_")[9:] not in text


def test_the_newest_predictions_are_shown_at_the_terminal(seen: Seen) -> None:
    shown = cli("predictions", "--model", "iris", "--version", "1", "--last", "5", settings=seen.settings)
    assert shown.exit_code == 0, shown.output
    assert "setosa" in shown.output
    assert "alice" in shown.output
    assert "not kept" in shown.output
    as_json = json.loads(cli("predictions", "--last", "3", "--json", settings=seen.settings).output)
    assert [row["id"] for row in as_json] == sorted(seen.logged, reverse=True)[:3]
    assert "nothing is logged" in cli("predictions", "--model", "other", settings=seen.settings).output
    assert cli("predictions", "--version", "1", settings=seen.settings).exit_code != 0


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_each_question_of_the_page_has_an_answer(seen: Seen, number: int) -> None:
    with psycopg.connect(seen.settings.database_dsn) as connection:
        connection.execute(QUESTIONS[number])
        connection.rollback()


def test_a_model_that_fails_is_logged_with_its_code(wanted: Settings) -> None:
    with pytest.raises(ModelFailed):
        asyncio.run(fail(wanted))
    with Database.of(wanted).connect("test") as connection:
        row = newest(connection, limit=1)[0]
    assert (row.code, row.output, row.cache, row.owner) == ("model_error", None, None, "anonymous")
    assert row.input == {"rows": [[5.1, 3.5, 1.4, 0.21]], "single": True}


async def fail(settings: Settings) -> None:
    """Predict with iris as it is published, but for a model that raises."""

    class Failing:
        def predict(self, _rows: Any) -> Any:
            raise ZeroDivisionError

    services = Services(settings)
    await services.start()
    try:
        assert services.directory.settle(20)
        prepared = services.directory.current("iris")
        failing = replace(prepared, served=replace(prepared.served, loaded=Failing()))
        body = json.dumps({"features": [5.1, 3.5, 1.4, 0.21]}).encode()
        request = PredictionRequest(failing, failing.decoder.decode(body), body, ANONYMOUS, JSON)
        await services.serving.predict_later(request)
    finally:
        await services.close()


def in_order(body: dict[str, Any]) -> list[list[float]]:
    given = body.get("instances") or [body["features"]]
    return [list(one.values()) if isinstance(one, dict) else one for one in given]


def cli(*words: str, settings: Settings) -> Result:
    variables = {name: value for name, value in environment(settings).items() if name.startswith(PREFIX)}
    return CliRunner().invoke(app, list(words), env={**variables, "COLUMNS": "200"})
