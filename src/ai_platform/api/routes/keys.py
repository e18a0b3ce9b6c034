"""Keys over HTTP: make, list, rotate, revoke."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import msgspec
from fastapi import Request

from ai_platform.access import keys as rows
from ai_platform.access.api_key import ApiKey, every_key
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.keyring import Keyring
from ai_platform.api.http.parameters import principal_of, seconds_of, services_of
from ai_platform.api.routes.declaration import Parameter, Reply, Routes
from ai_platform.errors import Forbidden, InvalidParameter, KeyNotActive, KeyNotFound
from ai_platform.storage.postgres import BoundedConnection

routes = Routes("keys")

LONGEST_OVERLAP = 30 * 86_400.0
OVERLAP = 86_400.0
Found = TypeVar("Found")


class Keys(msgspec.Struct, frozen=True):
    """All keys, newest first, without their secrets."""

    keys: list[ApiKey]


class NewKey(ApiKey, frozen=True, kw_only=True):
    """A key with its text, which is shown this once."""

    key: str


@routes.declare("GET", "/keys", scope="keys:admin", summary="All keys, newest first")
async def list_keys(request: Request) -> Keys:
    """Every key, ended ones included, without its secret, which is kept nowhere.

    To a key for some models alone, only the keys that are for none but these.
    """
    models = principal_of(request).models
    return Keys(await with_connection(request, lambda connection: every_key(connection, models)))


@routes.declare("POST", "/keys", scope="keys:admin", summary="Make a key", status=201)
async def create_key(request: Request, body: KeySpec) -> Reply[NewKey]:
    """A new key, whose text (`key`) is shown this once.

    It gets nothing that the caller's has not itself: no further scopes or models, no later end, no wider limits.

    Raises:
        InvalidInput: it is not described as a key is.
        Forbidden: it would have more rights than the caller, or a later end, or wider limits.
    """
    principal = principal_of(request)
    return await _change(
        request, "key.create", lambda connection: rows.create(connection, body, principal.owner, principal)
    )


@routes.declare(
    "POST",
    "/keys/{key_id}/rotate",
    scope="keys:admin",
    summary="Make a key's successor",
    status=201,
    problems=(KeyNotFound, KeyNotActive, InvalidParameter),
    parameters=(
        Parameter(
            "overlap_seconds",
            {"type": "number", "minimum": 0, "maximum": LONGEST_OVERLAP},
            "seconds for which both keys are valid",
        ),
    ),
)
async def rotate_key(request: Request, key_id: str) -> Reply[NewKey]:
    """A new key with the same rights, shown this once; the old one ends after `?overlap_seconds=` (86400).

    Raises:
        KeyNotFound: there is no such key, or it is for models that the caller may not use.
        KeyNotActive: it has expired or was revoked.
        Forbidden: the old key has more rights than the caller's, a later end, or wider limits.
        InvalidParameter: `overlap_seconds` is no number of seconds.
    """
    given = seconds_of("overlap_seconds", request.query_params.getlist("overlap_seconds"), LONGEST_OVERLAP)
    overlap = timedelta(seconds=OVERLAP if given is None else given)
    principal = principal_of(request)
    return await _change(
        request, "key.rotate", lambda connection: rows.rotate(connection, key_id, overlap, principal.owner, principal)
    )


@routes.declare("DELETE", "/keys/{key_id}", scope="keys:admin", summary="Revoke a key", problems=(KeyNotFound,))
async def revoke_key(request: Request, key_id: str) -> ApiKey:
    """The key, revoked now and for good; every API process knows it within 5 s, this one at once.

    Raises:
        KeyNotFound: there is no such key, or it is for models that the caller may not use.
        Forbidden: it has scopes that the caller's has not.
    """
    principal = principal_of(request)
    key = await _bounded(
        request,
        "key.revoke",
        lambda connection: rows.revoke(connection, key_id, principal.owner, principal, by_key=principal.key_id),
    )
    await _learn(request)
    return key


async def with_connection(request: Request, ask: Callable[[BoundedConnection], Found]) -> Found:
    """What a thread finds over the keyring's connection.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    keyring = _keyring(request)

    def run() -> Found:
        with keyring.connection() as connection:
            return ask(connection)

    return await asyncio.to_thread(run)


async def _change(
    request: Request, action: str, make: Callable[[BoundedConnection], tuple[str, ApiKey]]
) -> Reply[NewKey]:
    text, key = await _bounded(request, action, make)
    await _learn(request)
    return Reply(NewKey(key=text, **msgspec.structs.asdict(key)), {"location": f"/keys/{key.id}"})


async def _bounded(request: Request, action: str, change: Callable[[BoundedConnection], Found]) -> Found:
    """What a change of the keys answers; a refusal of it is noted for the audit log."""
    try:
        return await with_connection(request, change)
    except Forbidden:
        authorizer, principal = services_of(request).authorizer, principal_of(request)
        authorizer.note_refusal(principal, action, "keys:admin", why="more than its own rights")
        raise


async def _learn(request: Request) -> None:
    """So that whoever changed a key finds it changed here; the other processes look every few seconds."""
    await asyncio.to_thread(_keyring(request).refresh)


def _keyring(request: Request) -> Keyring:
    keyring = services_of(request).keyring
    assert keyring is not None  # while authentication is off, nobody has the scope
    return keyring
