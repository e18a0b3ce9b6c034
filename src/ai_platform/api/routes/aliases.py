"""Aliases over HTTP: look, move, remove, roll back."""

from typing import Annotated

import msgspec
from fastapi import Request, Response

from ai_platform.api.http.parameters import principal_of, services_of
from ai_platform.api.routes.declaration import Answer, Routes
from ai_platform.api.routes.json_body import refuse
from ai_platform.api.routes.path_parts import AliasName, Name, VersionNumber
from ai_platform.errors import ModelNotFound
from ai_platform.models.registry import aliases
from ai_platform.models.registry.aliases import PRODUCTION, Target
from ai_platform.models.registry.views import AliasView, alias_view

routes = Routes("models")


class TargetBody(msgspec.Struct, forbid_unknown_fields=True):
    """One version behind an alias, with its share."""

    version: VersionNumber
    weight: Annotated[int, msgspec.Meta(ge=1, le=aliases.MOST_WEIGHT)] = 100


class AliasBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which version an alias shall name, or which versions with which weights."""

    version: VersionNumber | None = None
    targets: Annotated[tuple[TargetBody, ...], msgspec.Meta(min_length=1, max_length=aliases.MOST_TARGETS)] | None = (
        None
    )


class PromoteBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which version `production`, or another alias, shall name."""

    version: VersionNumber
    alias: AliasName = PRODUCTION


class Aliases(msgspec.Struct, frozen=True):
    """A model's aliases."""

    aliases: list[AliasView]


@routes.declare(
    "GET", "/models/{name}/aliases", scope="models:read", summary="A model's aliases", problems=(ModelNotFound,)
)
def list_aliases(request: Request, name: Name) -> Aliases:
    """What each alias names, and what it named before.

    Raises:
        ModelNotFound: there is no such model.
    """
    return Aliases(services_of(request).models.versions(name)[1])


@routes.declare(
    "PUT",
    "/models/{name}/aliases/{alias}",
    scope="models:write",
    summary="Let an alias name a version, or several with weights",
    problems=(ModelNotFound,),
)
def put_alias(request: Request, name: Name, alias: str, body: AliasBody) -> AliasView:
    """Move an alias, and wait until every API process serves what it names now, `models.answer_seconds` at most.

    Raises:
        InvalidParameter: the alias is not of its form.
        ModelNotFound: a version does not exist.
    """
    if (body.version is None) == (body.targets is None):
        refuse("", 'must hold exactly one of "version" and "targets"')
    targets = tuple(Target(one.version, one.weight) for one in body.targets or (TargetBody(body.version or 1),))
    return _point(request, name, alias, targets)


@routes.declare(
    "DELETE",
    "/models/{name}/aliases/{alias}",
    scope="models:write",
    summary="Remove an alias",
    answers={204: Answer("Gone", media_type="")},
    problems=(ModelNotFound,),
)
def delete_alias(request: Request, name: Name, alias: str) -> Response:
    """Remove a name; the versions stay.

    Raises:
        ModelNotFound: there is no such alias.
    """
    services_of(request).publisher.remove_alias(name, alias, by=principal_of(request).owner)
    return Response(status_code=204)


@routes.declare(
    "POST",
    "/models/{name}/promote",
    scope="models:write",
    summary="Let `production` name a version",
    problems=(ModelNotFound,),
)
def promote(request: Request, name: Name, body: PromoteBody) -> AliasView:
    """Move `production`, or the alias that the body names, to one version.

    Raises:
        ModelNotFound: the version does not exist.
    """
    return _point(request, name, body.alias, (Target(body.version),))


@routes.declare(
    "POST",
    "/models/{name}/rollback",
    scope="models:write",
    summary="Let `production` name again what it named before",
    problems=(ModelNotFound,),
)
def roll_back(request: Request, name: Name) -> AliasView:
    """Undo the last change of `production`.

    Raises:
        ModelNotFound: it has named nothing else before, or what it named was deleted.
    """
    return roll_back_alias(request, name, PRODUCTION)


@routes.declare(
    "POST",
    "/models/{name}/aliases/{alias}/rollback",
    scope="models:write",
    summary="Let an alias name again what it named before",
    problems=(ModelNotFound,),
)
def roll_back_alias(request: Request, name: Name, alias: str) -> AliasView:
    """Undo the last change of an alias.

    Raises:
        ModelNotFound: it has named nothing else before, or what it named was deleted.
    """
    return alias_view(services_of(request).publisher.roll_back(name, alias, by=principal_of(request).owner)[0])


def _point(request: Request, name: str, alias: str, targets: tuple[Target, ...]) -> AliasView:
    publisher, by = services_of(request).publisher, principal_of(request).owner
    return alias_view(publisher.promote(name, alias, targets, by=by)[0])
