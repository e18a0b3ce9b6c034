"""Models and their versions over HTTP: look, send a file, publish it, download it, delete it."""

import tempfile
import threading
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from ai_platform.api.http.parameters import principal_of, services_of
from ai_platform.api.routes.declaration import Answer, Reply, Routes
from ai_platform.api.routes.json_body import refuse
from ai_platform.api.routes.path_parts import AliasName, Name, Number
from ai_platform.api.routes.uploading import take
from ai_platform.errors import (
    ArtifactRefused,
    BodyTooLarge,
    ModelNotFound,
    Overloaded,
    RequestTimedOut,
    UnsupportedMediaType,
    UploadNotFound,
    UploadsOff,
    VersionInUse,
)
from ai_platform.models.registry import uploads
from ai_platform.models.registry.manifest import MOST_LIMIT_SECONDS, Draft, decode
from ai_platform.models.registry.uploads import Upload
from ai_platform.models.registry.views import AliasView, ModelView, VersionDetail, VersionView
from ai_platform.models.validation.validate import Signed
from ai_platform.runtimes.base.runtime import Value
from ai_platform.runtimes.base.signature import Feature

routes = Routes("models")

# Validation takes a core and up to gigabytes, so an API process validates one model at a time.
_validating = threading.Lock()
_FILE = Answer("The bytes that were published", media_type="application/octet-stream")
_GONE = Answer("Gone", media_type="")


class PublishBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
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
    alias: AliasName | None = None
    extra: Literal["refuse", "ignore"] = "refuse"
    hard_limit_seconds: Annotated[float, msgspec.Meta(gt=0, le=MOST_LIMIT_SECONDS)] | None = None


class Models(msgspec.Struct, frozen=True):
    """All models that the caller may use."""

    models: list[ModelView]


class ModelDetail(msgspec.Struct, frozen=True):
    """A model with its aliases and its versions, newest first."""

    name: str
    aliases: list[AliasView]
    versions: list[VersionView]


class Versions(msgspec.Struct, frozen=True):
    """A model's versions, newest first."""

    versions: list[VersionView]


class Uploaded(msgspec.Struct, frozen=True):
    """A file that was taken; `size` in bytes."""

    sha256: str
    size: int
    kept_seconds: int


@routes.declare("GET", "/models", scope="models:read", summary="All models")
def list_models(request: Request) -> Models:
    """Each model that the caller may use, with what its aliases name."""
    may_use = principal_of(request).may_use
    return Models([view for view in services_of(request).models.models() if may_use(view.name)])


@routes.declare(
    "GET", "/models/{name}", scope="models:read", summary="A model with its versions", problems=(ModelNotFound,)
)
def read_model(request: Request, name: Name) -> ModelDetail:
    """The model, its aliases and its versions, newest first.

    Raises:
        ModelNotFound: there is no such model.
    """
    found, known = services_of(request).models.versions(name)
    return ModelDetail(name, known, found)


@routes.declare(
    "GET", "/models/{name}/versions", scope="models:read", summary="A model's versions", problems=(ModelNotFound,)
)
def list_versions(request: Request, name: Name) -> Versions:
    """The versions, newest first.

    Raises:
        ModelNotFound: there is no such model.
    """
    return Versions(services_of(request).models.versions(name)[0])


@routes.declare(
    "GET",
    "/models/{name}/versions/{version}",
    scope="models:read",
    summary="A version with its signature, manifest and validation report",
    problems=(ModelNotFound,),
)
def read_version(request: Request, name: Name, version: Number) -> VersionDetail:
    """Everything that is known of a version.

    Raises:
        ModelNotFound: there is no such version.
    """
    return services_of(request).models.version(name, version)


@routes.declare(
    "GET",
    "/models/{name}/versions/{version}/artifact",
    scope="models:read",
    summary="A version's file",
    answers={200: _FILE},
    problems=(ModelNotFound,),
)
def download(request: Request, name: Name, version: Number) -> Response:
    """The bytes that were published.

    Raises:
        ModelNotFound: there is no such version.
    """
    models = services_of(request).models
    found = models.find(name, version)
    headers = {
        "content-disposition": f'attachment; filename="{name}-{version}"',
        "etag": f'"{found.sha256.hex()}"',
    }
    return StreamingResponse(models.artifact(found), media_type=_FILE.media_type, headers=headers)


@routes.declare(
    "DELETE",
    "/models/{name}/versions/{version}",
    scope="models:write",
    summary="Delete a version",
    answers={204: _GONE},
    problems=(ModelNotFound, VersionInUse),
)
def delete_version(request: Request, name: Name, version: Number) -> Response:
    """Delete a version that no alias names and no unfinished job needs; an alias is removed by a route of its own.

    Raises:
        ModelNotFound: there is no such version.
        VersionInUse: an alias names it, or a job that has not ended is pinned to it.
    """
    services_of(request).publisher.delete(name, version, by=principal_of(request).owner)
    return Response(status_code=204)


@routes.declare(
    "POST",
    "/uploads",
    scope="models:write",
    summary="Send a model file",
    status=201,
    problems=(UploadsOff, RequestTimedOut, BodyTooLarge, UnsupportedMediaType),
    upload=True,
)
async def upload(request: Request) -> Uploaded:
    """Take a file of at most `models.upload_mb`; publish it within an hour by its sha256.

    Raises:
        UploadsOff: an operator has not allowed it.
        BodyTooLarge: the file is larger than that.
    """
    services = services_of(request)
    if not services.settings.models.uploads:
        raise UploadsOff("models are not taken over HTTP here; an operator sets AI_PLATFORM_MODELS__UPLOADS=true")
    received = Upload(services.database, services.settings.models.upload_mb)
    sha256, size = await take(request.scope, request.receive, received)
    return Uploaded(sha256.hex(), size, int(uploads.KEPT.total_seconds()))


@routes.declare(
    "POST",
    "/models/{name}/versions",
    scope="models:write",
    summary="Publish an uploaded file as the next version",
    status=201,
    problems=(UploadNotFound, ArtifactRefused),
)
def publish_version(request: Request, name: Name, body: PublishBody) -> Reply[VersionDetail]:
    """Validate an uploaded file in a sandbox, and publish it.

    Raises:
        UploadNotFound: no file of that sha256 was sent.
        ArtifactRefused: the file is not what it should be.
        Overloaded: this process validates another model now.
    """
    described = _described(name, body)
    services = services_of(request)
    if not _validating.acquire(blocking=False):
        raise Overloaded("another model is being validated here; try again", retry_after=5)
    try:
        with tempfile.TemporaryDirectory(prefix="aip-uploaded-") as folder:
            artifact = Path(folder) / "artifact"
            uploads.fetch(services.database, bytes.fromhex(body.sha256), artifact)
            owner = principal_of(request).owner
            made = services.publisher.publish(artifact, described, by=owner, alias=body.alias)
    finally:
        _validating.release()
    return Reply(services.models.version(name, made.version), {"location": f"/models/{name}/versions/{made.version}"})


def _described(name: str, body: PublishBody) -> Signed | Draft:
    if body.manifest is not None:
        manifest = decode(body.manifest.encode())
        if manifest.model != name:
            refuse("/manifest", f"describes a model of another name than {name!r}")
        if manifest.sha256 != body.sha256:
            refuse("/manifest", "describes a file of another sha256")
        return Signed(body.manifest.encode(), (body.manifest_signature or "").encode())
    if body.format is None:
        refuse("/format", "is missing, and so is a manifest")
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
