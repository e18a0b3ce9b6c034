"""Keys over HTTP: make, list, rotate, revoke."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from ai_platform.access import keys as rows
from ai_platform.access.api_key import ApiKey, every_key
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.keyring import Keyring
from ai_platform.api.http.parameters import principal_of, seconds_of, services_of
from ai_platform.api.routes.declaration import Parameter, Reply, Routes
from ai_platform.errors import Forbidden, InvalidParameter, KeyNotActive, KeyNotFound

routes = Routes("keys")

LONGEST_OVERLAP = 30 * 86_400.0
OVERLAP = 86_400.0
Changed = TypeVar("Changed")


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
    return Keys(await asyncio.to_thread(keyring_of(request).ask, every_key, principal_of(request).models))


@routes.declare("POST", "/keys", scope="keys:admin", summary="Make a key", status=201)
async def create_key(request: Request, body: KeySpec) -> Reply[NewKey]:
    """A new key, whose text (`key`) is shown this once.

    It gets nothing that the caller's has not itself: no further scopes or models, no later end, no wider limits.

    Raises:
        InvalidInput: it is not described as a key is.
        Forbidden: it would have more rights than the caller, or a later end, or wider limits.
    """
    return _shown(*await _changed(request, "key.create", rows.create, body))


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
    return _shown(*await _changed(request, "key.rotate", rows.rotate, key_id, overlap))


@routes.declare("DELETE", "/keys/{key_id}", scope="keys:admin", summary="Revoke a key", problems=(KeyNotFound,))
async def revoke_key(request: Request, key_id: str) -> ApiKey:
    """The key, revoked now and for good; every API process knows it within 5 s, this one at once.

    Raises:
        KeyNotFound: there is no such key, or it is for models that the caller may not use.
        Forbidden: it has scopes that the caller's has not.
    """
    return await _changed(request, "key.revoke", rows.revoke, key_id, by_key=principal_of(request).key_id)


def keyring_of(request: Request) -> Keyring:
    """The keys of this process."""
    found = services_of(request).keyring
    assert found is not None  # while authentication is off, nobody has the scope
    return found


async def _changed(request: Request, action: str, change: Callable[..., Changed], *given: Any, **named: Any) -> Changed:
    """What a change of the keys answers, made in a thread; a refusal of it is noted for the audit log."""
    principal, keyring = principal_of(request), keyring_of(request)
    try:
        return await asyncio.to_thread(lambda: keyring.change(change, *given, principal.owner, principal, **named))
    except Forbidden:
        services_of(request).authorizer.note_refusal(principal, action, "keys:admin", why="more than its own rights")
        raise


def _shown(text: str, key: ApiKey) -> Reply[NewKey]:
    return Reply(NewKey(key=text, **msgspec.structs.asdict(key)), {"location": f"/keys/{key.id}"})
