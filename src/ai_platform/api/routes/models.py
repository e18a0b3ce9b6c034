"""Models over HTTP: look, publish an uploaded file, move aliases, delete."""

import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec
import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from ai_platform.api.http.body import read_json_body
from ai_platform.api.http.parameters import principal_of
from ai_platform.api.http.uploading import take
from ai_platform.errors import InputFault, InvalidInput, InvalidParameter, Overloaded
from ai_platform.inputs.strict_json import loads
from ai_platform.models import publishing
from ai_platform.models.registry import aliases, serving_reports, uploads, versions
from ai_platform.models.registry.aliases import PRODUCTION, Target
from ai_platform.models.registry.manifest import MOST_LIMIT_SECONDS, Draft, decode
from ai_platform.models.registry.views import alias_body, model_body, version_body
from ai_platform.models.validation.validate import Signed
from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature
from ai_platform.serving.authorizer import require_model
from ai_platform.serving.bootstrap import Services
from ai_platform.storage import postgres
from ai_platform.storage.postgres import BoundedConnection

router = APIRouter(tags=["models"])

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
# Validation takes a core and up to gigabytes, so an API process validates one model at a time.
_proving = threading.Lock()


_AliasName = Annotated[str, msgspec.Meta(pattern=f"^{aliases.ALIAS_NAME.pattern}$")]
_Number = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON body; its fields are all that is read."""


class PublishBody(_Body, kw_only=True):
    """What is said of an uploaded file: a signed manifest, or for formats of plain data a format and what it lacks.

    Attributes:
        sha256: of the uploaded file, 64 hexadecimal digits.
        manifest: its manifest, as it was signed.
        manifest_signature: the manifest's signature.
        format: its format, without a manifest.
        classes: names of the classes, where the file has none.
        inputs: the features, where the file does not name them.
        rows: some inputs for the golden outputs, shape (n, features), n <= 200.
        metrics: name to value.
        alias: what shall name the new version.
        extra: what becomes of names in an instance that neither the model nor its inputs have.
        hard_limit_seconds: longest run of one call, and of one attempt of a job; the platform's own limit without it.
    """

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    manifest: str | None = None
    manifest_signature: str | None = None
    format: str | None = None
    classes: tuple[str, ...] | None = None
    inputs: tuple[Feature, ...] | None = None
    rows: Annotated[list[list[Value]], msgspec.Meta(max_length=200)] = []
    metrics: dict[str, float] = {}
    alias: _AliasName | None = None
    extra: Literal["refuse", "ignore"] = "refuse"
    hard_limit_seconds: Annotated[float, msgspec.Meta(gt=0, le=MOST_LIMIT_SECONDS)] | None = None


class TargetBody(_Body):
    """One version behind an alias, with its share."""

    version: _Number
    weight: Annotated[int, msgspec.Meta(ge=1, le=aliases.MOST_WEIGHT)] = 100


class AliasBody(_Body, kw_only=True):
    """Which version an alias shall name, or which versions with which weights."""

    version: _Number | None = None
    targets: Annotated[tuple[TargetBody, ...], msgspec.Meta(min_length=1, max_length=aliases.MOST_TARGETS)] | None = (
        None
    )


class PromoteBody(_Body, kw_only=True):
    """Which version `production`, or another alias, shall name."""

    version: _Number
    alias: _AliasName = PRODUCTION


async def body_of(request: Request) -> Any:
    """The request's JSON document.

    Raises:
        PlatformError: the body is too large, too slow, of another type or no strict JSON.
    """
    services: Services = request.app.state.services
    return loads(await read_json_body(request.scope, request.receive, services.settings))


Document = Annotated[Any, Depends(body_of)]


def name_of(request: Request, name: str) -> str:
    """A model's name from the path, if the caller may use that model.

    Raises:
        InvalidParameter: it is not of its form.
        Forbidden: the caller's key names other models.
    """
    if not versions.MODEL_NAME.fullmatch(name):
        raise InvalidParameter("name", "a model's name is 1 to 63 characters of a-z, 0-9, _ and -")
    require_model(principal_of(request), name)
    return name


def version_of(version: str) -> int:
    """A version's number from the path.

    Raises:
        InvalidParameter: it is not of its form.
    """
    if not _VERSION.fullmatch(version):
        raise InvalidParameter("version", "a version is a number from 1")
    return int(version)


Kind = TypeVar("Kind", bound=_Body)
Name = Annotated[str, Depends(name_of)]
Number = Annotated[int, Depends(version_of)]


@router.get("/models", summary="All models")
def list_models(request: Request) -> Response:
    """Each model that the caller may use, with what its aliases name."""
    may_use = principal_of(request).may_use
    with _connection(request) as connection:
        known = aliases.everything(connection)
        records = [record for record in versions.models(connection) if may_use(record.name)]
    return _json({"models": [model_body(record, known) for record in records]})


@router.get("/models/{name}", summary="A model with its versions")
def read_model(request: Request, name: Name) -> Response:
    """The model, its aliases and its versions, newest first.

    Raises:
        ModelNotFound: there is no such model.
    """
    versions, known = _versions(request, name)
    return _json({"name": name, "aliases": [alias_body(alias) for alias in known], "versions": versions})


@router.get("/models/{name}/versions", summary="A model's versions")
def list_versions(request: Request, name: Name) -> Response:
    """The versions, newest first.

    Raises:
        ModelNotFound: there is no such model.
    """
    versions, _aliases = _versions(request, name)
    return _json({"versions": versions})


@router.get("/models/{name}/versions/{version}", summary="A version with its signature, manifest and validation report")
def read_version(request: Request, name: Name, version: Number) -> Response:
    """Everything that is known of a version.

    Raises:
        ModelNotFound: there is no such version.
    """
    with _connection(request) as connection:
        found = versions.find(connection, name, version)
        return _json(
            version_body(
                found, aliases.of_model(connection, name), serving_reports.of_model(connection, name), whole=True
            )
        )


@router.get("/models/{name}/versions/{version}/artifact", summary="A version's file")
def download(request: Request, name: Name, version: Number) -> Response:
    """The bytes that were published.

    Raises:
        ModelNotFound: there is no such version.
    """
    with _connection(request) as connection:
        found = versions.find(connection, name, version)
    headers = {
        "content-disposition": f'attachment; filename="{name}-{version}"',
        "etag": f'"{found.sha256.hex()}"',
    }
    return StreamingResponse(_parts(request, found.sha256), media_type="application/octet-stream", headers=headers)


@router.delete("/models/{name}/versions/{version}", summary="Delete a version", status_code=204)
def delete_version(request: Request, name: Name, version: Number) -> Response:
    """Delete a version that no alias names and no unfinished job needs; an alias is removed by a route of its own.

    Raises:
        ModelNotFound: there is no such version.
        VersionInUse: an alias names it, or a job that has not ended is pinned to it.
    """
    publishing.delete(_services(request).settings, name, version, by=_caller(request))
    return Response(status_code=204)


@router.post("/uploads", summary="Send a model file", status_code=201)
async def upload(request: Request) -> Response:
    """Take a file of at most `models.upload_mb`; publish it within an hour by its sha256.

    Raises:
        UploadsOff: an operator has not allowed it.
        BodyTooLarge: the file is larger than that.
    """
    sha256, size = await take(request.scope, request.receive, _services(request).settings)
    kept = {"sha256": sha256.hex(), "size": size, "kept_seconds": int(uploads.KEPT.total_seconds())}
    return _json(kept, 201)


@router.post("/models/{name}/versions", summary="Publish an uploaded file as the next version", status_code=201)
def publish_version(request: Request, name: Name, document: Document) -> Response:
    """Validate an uploaded file in a sandbox, and publish it.

    Raises:
        UploadNotFound: no file of that sha256 was sent.
        ArtifactRefused: the file is not what it should be.
        Overloaded: this process validates another model now.
    """
    body = _read(document, PublishBody)
    described = _described(name, body)
    settings = _services(request).settings
    if not _proving.acquire(blocking=False):
        raise Overloaded("another model is being validated here; try again", retry_after=5)
    try:
        with tempfile.TemporaryDirectory(prefix="aip-uploaded-") as folder:
            artifact = Path(folder) / "artifact"
            uploads.fetch(settings, bytes.fromhex(body.sha256), artifact)
            made = publishing.publish(settings, artifact, described, by=_caller(request), alias=body.alias)
    finally:
        _proving.release()
    with _connection(request) as connection:
        found = versions.find(connection, name, made.version)
        shown = version_body(
            found, aliases.of_model(connection, name), serving_reports.of_model(connection, name), whole=True
        )
    return _json(shown, 201, location=f"/models/{name}/versions/{made.version}")


@router.get("/models/{name}/aliases", summary="A model's aliases")
def list_aliases(request: Request, name: Name) -> Response:
    """What each alias names, and what it named before.

    Raises:
        ModelNotFound: there is no such model.
    """
    with _connection(request) as connection:
        versions.of_model(connection, name)
        return _json({"aliases": [alias_body(alias) for alias in aliases.of_model(connection, name)]})


@router.put("/models/{name}/aliases/{alias}", summary="Let an alias name a version, or several with weights")
def put_alias(request: Request, name: Name, alias: str, document: Document) -> Response:
    """Move an alias, and wait until every API process serves what it names now, `models.answer_seconds` at most.

    Raises:
        InvalidParameter: the alias is not of its form.
        ModelNotFound: a version does not exist.
    """
    body = _read(document, AliasBody)
    if (body.version is None) == (body.targets is None):
        _refuse("", 'must hold exactly one of "version" and "targets"')
    targets = tuple(Target(one.version, one.weight) for one in body.targets or (TargetBody(body.version or 1),))
    return _json(alias_body(_point(request, name, alias, targets)))


@router.delete("/models/{name}/aliases/{alias}", summary="Remove an alias", status_code=204)
def delete_alias(request: Request, name: Name, alias: str) -> Response:
    """Remove a name; the versions stay.

    Raises:
        ModelNotFound: there is no such alias.
    """
    publishing.remove_alias(_services(request).settings, name, alias, by=_caller(request))
    return Response(status_code=204)


@router.post("/models/{name}/promote", summary="Let `production` name a version")
def promote(request: Request, name: Name, document: Document) -> Response:
    """Move `production`, or the alias that the body names, to one version.

    Raises:
        ModelNotFound: the version does not exist.
    """
    body = _read(document, PromoteBody)
    return _json(alias_body(_point(request, name, body.alias, (Target(body.version),))))


@router.post("/models/{name}/rollback", summary="Let `production` name again what it named before")
def roll_back(request: Request, name: Name) -> Response:
    """Undo the last change of `production`.

    Raises:
        ModelNotFound: it has named nothing else before, or what it named was deleted.
    """
    return _json(alias_body(publishing.roll_back(_services(request).settings, name, by=_caller(request))[0]))


@router.post("/models/{name}/aliases/{alias}/rollback", summary="Let an alias name again what it named before")
def roll_back_alias(request: Request, name: Name, alias: str) -> Response:
    """Undo the last change of an alias.

    Raises:
        ModelNotFound: it has named nothing else before, or what it named was deleted.
    """
    return _json(alias_body(publishing.roll_back(_services(request).settings, name, alias, by=_caller(request))[0]))


def _versions(request: Request, name: str) -> tuple[list[dict[str, Any]], list[aliases.Alias]]:
    """A model's versions as they are shown, newest first, and its aliases."""
    with _connection(request) as connection:
        found = versions.of_model(connection, name)
        known = aliases.of_model(connection, name)
        served = serving_reports.of_model(connection, name)
    return [version_body(version, known, served) for version in found], known


def _described(name: str, body: PublishBody) -> Signed | Draft:
    if body.manifest is not None:
        manifest = decode(body.manifest.encode())
        if manifest.model != name:
            _refuse("/manifest", f"describes a model of another name than {name!r}")
        if manifest.sha256 != body.sha256:
            _refuse("/manifest", "describes a file of another sha256")
        return Signed(body.manifest.encode(), (body.manifest_signature or "").encode())
    if body.format is None:
        _refuse("/format", "is missing, and so is a manifest")
    return Draft(
        model=name,
        format=body.format,
        classes=body.classes,
        inputs=body.inputs,
        rows=body.rows,
        metrics=body.metrics,
        extra=body.extra,
        hard_limit_seconds=body.hard_limit_seconds,
    )


def _point(request: Request, name: str, alias: str, targets: tuple[Target, ...]) -> aliases.Alias:
    return publishing.promote(_services(request).settings, name, alias, targets, by=_caller(request))[0]


def _read(document: Any, kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `")
        pointer = re.sub(r"\[(\d+)\]", r"/\1", path.rstrip("`").removeprefix("$")).replace(".", "/")
        _refuse(pointer if "[" not in pointer else "", sentence[:1].lower() + sentence[1:])


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise InvalidInput("the body is not what this route reads", [InputFault(pointer, detail)])


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _connection(request: Request) -> BoundedConnection:
    return postgres.connect(_services(request).settings, "api-models")


def _caller(request: Request) -> str:
    return principal_of(request).owner


def _parts(request: Request, sha256: bytes) -> Iterator[bytes]:
    with _connection(request) as connection:
        yield from versions.artifact_parts(connection, sha256)


def _json(body: dict[str, Any], status: int = 200, location: str | None = None) -> Response:
    headers = None if location is None else {"location": location}
    return Response(orjson.dumps(body), status, headers, "application/json")
