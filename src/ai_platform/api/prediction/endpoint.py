"""The prediction endpoint, in front of FastAPI's routes: one implementation for all prediction paths."""

import functools
import re
from dataclasses import dataclass

import msgspec

from ai_platform.api.http.auth import charge
from ai_platform.api.http.body import read_json_body
from ai_platform.api.http.deadline import deadline_of
from ai_platform.api.http.middleware import App, Receive, Scope, Send
from ai_platform.api.http.request_head import RequestHead
from ai_platform.api.prediction.acceptance import accept, idempotency_key_of, preference_of, send_json
from ai_platform.api.services import Services
from ai_platform.errors import InvalidParameter, MethodNotAllowed
from ai_platform.inputs.instances import Instances
from ai_platform.models.registry.aliases import ALIAS_NAME, PRODUCTION
from ai_platform.models.registry.versions import MODEL_NAME
from ai_platform.predictions.ids import new_text
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.predictions.service import PredictionRequest
from ai_platform.settings import Settings
from ai_platform.telemetry import Tally, request_tally

_PATH = re.compile(
    r"/(?:models/(?P<model>[^/]*)/(?:versions/(?P<version>[^/]*)/|aliases/(?P<alias>[^/]*)/)?)?predict(?P<later>/async)?/?"
)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_ENDINGS = ("/predict", "/predict/", "/async", "/async/")
# Paths that are remembered; those of versions that exist, so they are few.
MOST_KNOWN = 1_024


@dataclass(frozen=True, slots=True)
class Target:
    """What a prediction path asks for.

    Attributes:
        model: the model's name; None for the default model.
        version: its number, if the path names one.
        alias: the alias, if it does not.
        later: whether the answer is a job.
        route: the path's template.
        tally: of answers with 200 that were computed at once; None where that is never so.
    """

    model: str | None
    version: int | None
    alias: str
    later: bool
    route: str
    tally: Tally | None


class PendingRequest(msgspec.Struct, frozen=True):
    """A request that was let in, read and checked, and is not answered yet.

    Attributes:
        target: the kind of prediction.
        head: of the request.
        asked: what is to be predicted.
    """

    target: Target
    head: RequestHead
    asked: PredictionRequest


class PredictionEndpoint:
    """Answers prediction requests; hands all others to the application behind it.

    A request is let in (`enter`), read, and begun (`begin`); what costs microseconds is answered with that. The rest is
    awaited. `FastPath` takes the first steps where a request arrives in one piece, and comes here for the rest.

    Args:
        app: the FastAPI application.
        settings: limits.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._default = settings.models.default
        self._affinity = settings.models.affinity_header.lower().encode()
        self.services: Services  # set once the application has started
        default = Target(None, None, PRODUCTION, later=False, route="/predict/", tally=_tally("/predict/"))
        # By path as it is sent: targets of answers at once, learned as they are asked for.
        self.known: dict[bytes, Target] = {b"/predict/": default, b"/predict": default}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction request.

        Raises:
            PlatformError: any fact that a problem table knows.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun: PendingRequest | None = scope.get("aip_begun")
        if begun is not None:
            scope["aip_route"] = begun.target.route
            await self._answer_later(begun.asked, scope, send)
            return
        target = self.known.get(scope["raw_path"]) or _target_of(scope["path"])
        if target is None:
            self.services.authorizer.admit(scope["aip_head"])
            await self._app(scope, receive, send)
        else:
            await self._answer(target, scope, receive, send)

    def enter(self, target: Target, head: RequestHead) -> None:
        """Let a request in; what the gate finds out stands in its head afterwards.

        Raises:
            PlatformError: it may not, or is no POST.
        """
        authorizer = self.services.authorizer
        authorizer.admit(head)
        if head.method != "POST":
            raise MethodNotAllowed("POST")
        authorizer.authorize_prediction(head, target.route, target.model or self._default)

    def resolve(self, target: Target, head: RequestHead) -> PreparedModel | None:
        """The version that answers, from memory; None when it is asked for by number and must be loaded.

        Raises:
            ModelNotFound: there is no such model or alias.
            ModelNotReady: it cannot predict now.
        """
        predictions = self.services.predictions
        if target.version is not None:
            assert target.model is not None
            return predictions.held(target.model, target.version)
        return predictions.current(target.model, target.alias, head.named.get(self._affinity))

    def begin(self, head: RequestHead, prepared: PreparedModel, instances: Instances, body: bytes) -> PredictionRequest:
        """Charge the rows of a request that was let in, read and checked.

        Raises:
            RateLimited: there is no room for them.
        """
        charge(head, len(instances.rows))
        return PredictionRequest(prepared, instances, body, head.principal)

    async def _answer(self, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
        scope["aip_route"] = target.route
        head: RequestHead = scope["aip_head"]
        self.enter(target, head)
        deadline = deadline_of(head)
        body = await read_json_body(scope, receive, self._settings)
        if target.version is None:
            await self.services.predictions.until_loaded(target.model, target.alias)
        prepared = self.resolve(target, head)
        if prepared is None:
            assert target.model is not None
            assert target.version is not None
            prepared = await self.services.predictions.pinned(target.model, target.version, deadline)
        preference = preference_of(head)
        if target.later or preference.respond_async:
            await accept(
                self.services, prepared, body, head, send,
                later=target.later, preference=preference, version=target.version,
            )  # fmt: skip
            return
        idempotency_key_of(head)  # of no use here, but one that is malformed was meant for something
        instances = await self.services.decoding.decoded(prepared.decoder, body)
        asked = self.begin(head, prepared, instances, body)
        if len(self.known) < MOST_KNOWN:
            self.known[head.raw_path] = target
        encoded = self.services.predictions.at_once(asked, new_text(), deadline)
        if encoded is None:
            await self._answer_later(asked, scope, send, deadline)
        else:
            await send_json(send, 200, encoded, [(b"x-cache", b"bypass")])

    async def _answer_later(
        self, asked: PredictionRequest, scope: Scope, send: Send, deadline: float | None = None
    ) -> None:
        answered = await self.services.predictions.later(asked, deadline, scope.get("aip_gone"))
        await send_json(send, 200, answered.body, [(b"x-cache", answered.cache.encode())])


def _target_of(path: str) -> Target | None:
    found = _PATH.fullmatch(path) if path.endswith(_ENDINGS) else None
    return None if found is None else _target(found)


def _target(found: re.Match[str]) -> Target:
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
    tally = None if later else _tally(route)
    return Target(model, int(version) if version else None, alias or PRODUCTION, later, route, tally)


@functools.cache
def _tally(route: str) -> Tally:
    return request_tally(route)
