"""The lane: the short way of prediction requests, in front of FastAPI's routes. One implementation for all of them."""

import re
from dataclasses import dataclass
from functools import partial

from ai_platform.api.accepting import accept, idempotency_key_of, preference_of, send_json
from ai_platform.api.body import read_json_body
from ai_platform.api.envelope import App, Receive, Scope, Send
from ai_platform.api.gate import charge, require_model
from ai_platform.api.services import Services
from ai_platform.errors import InvalidParameter, MethodNotAllowed
from ai_platform.models.aliases import ALIAS_NAME, PRODUCTION
from ai_platform.models.registry import MODEL_NAME
from ai_platform.predictions.prepared import PreparedModel
from ai_platform.settings import Settings

_PATH = re.compile(
    r"/(?:models/(?P<model>[^/]*)/(?:versions/(?P<version>[^/]*)/|aliases/(?P<alias>[^/]*)/)?)?predict(?P<later>/async)?/?"
)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class _Target:
    model: str | None
    version: int | None
    alias: str
    later: bool
    route: str


_DEFAULT = _Target(None, None, PRODUCTION, later=False, route="/predict/")


class PredictionLane:
    """Answers prediction requests; hands all others to the application behind it.

    Args:
        app: the FastAPI application.
        settings: limits.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._affinity = settings.models.affinity_header.lower().encode()
        self.services: Services  # set once the application has started

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction request.

        Raises:
            PlatformError: any fact that a problem table knows.
        """
        path = scope["path"] if scope["type"] == "http" else ""
        if path in {"/predict/", "/predict"}:
            await self._answer(_DEFAULT, scope, receive, send)
        elif path.endswith(("/predict", "/predict/", "/async", "/async/")) and (found := _PATH.fullmatch(path)):
            await self._answer(_target(found), scope, receive, send)
        else:
            if scope["type"] == "http":
                self.services.gate.admit(scope)
            await self._app(scope, receive, send)

    async def _answer(self, target: _Target, scope: Scope, receive: Receive, send: Send) -> None:
        scope["aip_route"] = target.route
        gate = self.services.gate
        gate.admit(scope)
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        principal = gate.authorize(scope, target.route)
        require_model(principal, target.model or self._settings.models.default)
        body = await read_json_body(scope, receive, self._settings)
        prepared = await self._resolve(target, scope)
        preference = preference_of(scope["headers"])
        if target.later or preference.respond_async:
            await accept(
                self.services, prepared, body, scope, send,
                later=target.later, preference=preference, version=target.version,
            )  # fmt: skip
            return
        idempotency_key_of(scope["headers"])  # of no use here, but one that is malformed was meant for something
        answered = await self.services.predictions.predict(prepared, body, partial(charge, scope), principal)
        await send_json(send, 200, answered.body, [(b"x-cache", answered.cache.encode())])

    async def _resolve(self, target: _Target, scope: Scope) -> PreparedModel:
        predictions = self.services.predictions
        if target.version is not None:
            assert target.model is not None
            return await predictions.pinned(target.model, target.version)
        caller = None
        for name, value in scope["headers"]:
            if name == self._affinity:
                caller = value
        return predictions.current(target.model, target.alias, caller)


def _target(found: re.Match[str]) -> _Target:
    model, version, alias, later = found["model"], found["version"], found["alias"], found["later"] is not None
    if model is not None and not MODEL_NAME.fullmatch(model):
        raise InvalidParameter("model", "a model's name is 1 to 63 characters of a-z, 0-9, _ and -")
    if version is not None and not _VERSION.fullmatch(version):
        raise InvalidParameter("version", "a version is a number from 1")
    if alias is not None and not ALIAS_NAME.fullmatch(alias):
        raise InvalidParameter("alias", "an alias is 1 to 63 characters of a-z, 0-9, _ and -, the first a letter")
    route = ("/predict" if later else "/predict/") if model is None else "/models/{name}/predict"
    if version is not None:
        route = "/models/{name}/versions/{version}/predict"
    elif alias is not None:
        route = "/models/{name}/aliases/{alias}/predict"
    route += "/async" if later else ""
    return _Target(model, int(version) if version else None, alias or PRODUCTION, later, route)
