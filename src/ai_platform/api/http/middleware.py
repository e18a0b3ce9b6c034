"""Around every request of the slow path: its id, host, errors, headers, metrics. Plain ASGI."""

import time

from ai_platform.api.http.answers import internal, send_error
from ai_platform.api.http.asgi import App, Message, Receive, Scope, Send
from ai_platform.api.http.context import RequestContext, context_of
from ai_platform.api.http.hosts import Hosts
from ai_platform.api.http.request_head import RequestHead
from ai_platform.api.http.request_id import given_id
from ai_platform.errors import ExpectationFailed, PlatformError
from ai_platform.predictions.ids import new_text
from ai_platform.telemetry import REQUEST_ID, count_request, logger

log = logger(__name__)

UNMATCHED = "unmatched"


class Middleware:
    """Wraps the prediction endpoint and the FastAPI application alike.

    Args:
        app: what answers; it may raise any `PlatformError`, and sets the context's route or `scope["route"]`.
        hosts: which are served.
    """

    def __init__(self, app: App, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing that is raised below leaves without problem details."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        context = context_of(scope)
        head = _head(context, scope)
        request_id = given_id(head) or new_text()
        REQUEST_ID.set(request_id)
        own = (b"x-request-id", request_id.encode("ascii"))
        status, complete = 0, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", ())
                message["headers"] = [*given, own, *head.limit_headers(), *context.response_headers]
            elif not message.get("more_body", False):
                complete = True
            await send(message)

        try:
            self._check(context)
            await self._app(scope, receive, send_with_id)
        except PlatformError as error:
            await _answer_error(context, error, status, send_with_id)
        except Exception:
            log.exception("request failed")
            if not complete:
                await _answer_error(context, internal(), status, send_with_id)
        finally:
            _count(context, scope, status, time.perf_counter() - begun)

    def _check(self, context: RequestContext) -> None:
        if context.refusal is not None:
            raise context.refusal
        self._hosts.check(context.head.all(b"host"))
        if any(value.lower() != b"100-continue" for value in context.head.all(b"expect")):
            raise ExpectationFailed("only 100-continue can be expected")


def _head(context: RequestContext, scope: Scope) -> RequestHead:
    """The request's head, read now unless the fast path has read it."""
    if context.begun is None:
        head = RequestHead(scope["method"], scope["path"], scope["raw_path"], scope["query_string"], scope["headers"])
        head.client = scope["client"]
        context.head = head
    return context.head


def _count(context: RequestContext, scope: Scope, status: int, seconds: float) -> None:
    if context.is_replaced:  # what answered instead is counted
        return
    route = str(context.route or getattr(scope.get("route"), "path", UNMATCHED))
    count_request(route, scope["method"] if route != UNMATCHED else "", status or 499, seconds)


async def _answer_error(context: RequestContext, error: PlatformError, status: int, send: Send) -> None:
    if status:  # the answer has begun: all that is left is to cut it off
        raise error
    await send_error(send, context.codec, error)
