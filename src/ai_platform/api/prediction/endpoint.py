"""The prediction endpoint, in front of FastAPI's routes: the slow path of all prediction requests."""

from ai_platform.api.http.answers import send_answer
from ai_platform.api.http.asgi import App, Receive, Scope, Send
from ai_platform.api.http.auth import identify
from ai_platform.api.http.body import read_json_body
from ai_platform.api.http.context import RequestContext, context_of
from ai_platform.api.http.deadline import deadline_of
from ai_platform.api.prediction.paths import PredictionPath, PredictionPaths
from ai_platform.api.prediction.submission import answer_submission, submission_headers_of
from ai_platform.codecs.codec import Codec
from ai_platform.codecs.platform_json import JSON
from ai_platform.errors import MethodNotAllowed
from ai_platform.serving.bootstrap import Services
from ai_platform.serving.predictor import PredictionRequest


class PredictionEndpoint:
    """Answers prediction requests; hands all others, whose callers it identifies too, to the application behind it.

    Args:
        app: the FastAPI application.
        paths: which paths are predictions.
        services: the services of this process.
        codec: the protocol of the bodies.
    """

    def __init__(self, app: App, paths: PredictionPaths, services: Services, codec: Codec = JSON) -> None:
        self._app = app
        self._paths = paths
        self._services = services
        self._serving = services.serving
        self._codec = codec
        self._affinity = services.settings.models.affinity_header.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            PlatformError: any fact that a codec knows.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        if context.begun is not None:
            await self._predict(context, context.begun, send, deadline=None, is_new=False)
            return
        path = self._paths.find(scope["raw_path"], scope["path"])
        if path is not None:
            context.route, context.codec = path.route, self._codec
        identify(self._serving.authorizer, context.head)
        if path is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(path, context, scope, receive, send)

    async def _answer(
        self, path: PredictionPath, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        head = context.head
        if head.method != "POST":
            raise MethodNotAllowed("POST")
        self._serving.authorize(head.caller, path.target)
        deadline = deadline_of(head)
        asked = submission_headers_of(head)
        body = await read_json_body(scope, receive, self._services.settings.limits.body_bytes)
        affinity = head.named.get(self._affinity)
        request = await self._serving.read(
            head.caller, path.target, self._codec, body, affinity=affinity, deadline=deadline
        )
        if path.later or asked.preference.respond_async:
            await answer_submission(self._services, request, send, path=path, head=head, asked=asked)
            return
        self._paths.remember(head.raw_path, path)
        await self._predict(context, request, send, deadline=deadline, is_new=True)

    async def _predict(
        self, context: RequestContext, request: PredictionRequest, send: Send, *, deadline: float | None, is_new: bool
    ) -> None:
        predict = self._serving.predict if is_new else self._serving.predict_later
        answer = await predict(request, deadline=deadline, is_gone=context.is_gone)
        cache = (b"x-cache", answer.cache.encode())
        await send_answer(send, 200, request.codec.content_type, answer.body, [cache])
