"""A face without HTTP: it costs twenty lines, and has the same rights, limits, versions and promises."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest

from ai_platform.access import keys
from ai_platform.access.key_spec import KeySpec
from ai_platform.codecs.platform_json import JSON
from ai_platform.errors import Forbidden, InvalidInput, ModelNotFound, RateLimited, Unauthenticated
from ai_platform.serving.bootstrap import Services
from ai_platform.serving.resolver import Target
from ai_platform.serving.service import Serving
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from harness import SAMPLE

BODY = orjson.dumps(SAMPLE)
READY_SECONDS = 20


class Face:
    """What a face of any protocol does with a call."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def predict(self, key: bytes | None, model: str, body: bytes) -> bytes:
        caller = self._serving.authorizer.identify(key, None)
        caller.admit()
        self._serving.authorize(caller, Target(model))
        request = await self._serving.read(caller, Target(model), JSON, body)
        return (await self._serving.predict(request)).body

    async def submit(self, key: bytes | None, model: str, body: bytes) -> uuid.UUID:
        caller = self._serving.authorizer.identify(key, None)
        caller.admit()
        self._serving.authorize(caller, Target(model))
        request = await self._serving.read(caller, Target(model), JSON, body)
        return (await self._serving.submit(request, Target(model), key="twenty-lines")).id


@pytest.fixture(scope="module")
def guarded(module_settings: Settings) -> Settings:
    return module_settings.model_copy(update={"auth": "on"})


@asynccontextmanager
async def face_of(settings: Settings) -> AsyncIterator[Face]:
    services = Services(settings)
    await services.start()
    try:
        await services.until_able(READY_SECONDS, lambda: False)
        yield Face(services.serving)
    finally:
        await services.close()


def asked(settings: Settings, ask: Callable[[Face], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with face_of(settings) as face:
            return await ask(face)

    return asyncio.run(run())


def key_of(settings: Settings, **spec: object) -> bytes:
    with Database.of(settings).connect("test") as connection:
        wanted = KeySpec(**{"owner": "ann", "scopes": ["predict"], **spec})  # type: ignore[arg-type]
        return keys.create(connection, wanted, "test", None)[0].encode()


def test_a_face_without_http_predicts_and_submits(guarded: Settings) -> None:
    key = key_of(guarded)

    async def ask(face: Face) -> tuple[bytes, uuid.UUID, uuid.UUID]:
        return (
            await face.predict(key, "iris", BODY),
            await face.submit(key, "iris", BODY),
            await face.submit(key, "iris", BODY),
        )

    body, job, again = asked(guarded, ask)
    answer = orjson.loads(body)
    assert (answer["label"], answer["model"], answer["version"]) == ("setosa", "iris", 1)
    assert job == again, "the Idempotency-Key gives the same job"
    with psycopg.connect(guarded.database_dsn) as connection:
        row = connection.execute("SELECT owner, model, version FROM jobs WHERE id = %s", [job]).fetchone()
    assert row == ("ann", "iris", 1)


async def ask(way: Callable[..., Awaitable[Any]], key: bytes | None, model: str, body: bytes, face: Face) -> Any:
    return await way(face, key, model, body)


@pytest.mark.parametrize(
    ("spec", "model", "body", "error"),
    [
        (None, "iris", BODY, Unauthenticated),
        ({"scopes": ["jobs"]}, "iris", BODY, Forbidden),
        ({"models": ["other"]}, "iris", BODY, Forbidden),
        ({}, "nowhere", BODY, ModelNotFound),
        ({}, "iris", b'{"features": [1, 2]}', InvalidInput),
        ({"rows_per_second": 1.0, "burst_rows": 1}, "iris", b'{"instances": [[1,2,3,4], [1,2,3,4]]}', RateLimited),
    ],
    ids=["no key", "another scope", "another model", "no such model", "wrong input", "too many rows"],
)
def test_whoever_is_refused_over_http_is_refused_by_every_face(
    guarded: Settings, spec: dict[str, object] | None, model: str, body: bytes, error: type[Exception]
) -> None:
    key = None if spec is None else key_of(guarded, **spec)
    for way in (Face.predict, Face.submit):
        with pytest.raises(error):
            asked(guarded, partial(ask, way, key, model, body))
