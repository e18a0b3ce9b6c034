"""Around every request, whichever door it takes: its id, host, problem details, headers, metrics. Plain ASGI."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ai_platform.api.http import security_headers
from ai_platform.api.http.hosts import Hosts
from ai_platform.api.http.problems import encoded_problem, internal
from ai_platform.api.http.request_head import RequestHead
from ai_platform.api.http.request_id import given_id
from ai_platform.errors import ExpectationFailed, PlatformError
from ai_platform.predictions.ids import new_text
from ai_platform.telemetry import REQUEST_ID, count_request, logger

log = logger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UNMATCHED = "unmatched"


class Middleware:
    """Wraps the prediction endpoint and the FastAPI application alike.

    Args:
        app: what answers; it may raise any `PlatformError`, and sets `scope["aip_route"]` or `scope["route"]`.
            The protocol sets `scope["aip_refusal"]` to what is raised before that, and `scope["aip_replaced"]` when
            such a refusal answers instead of the request.
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
        head = _head(scope)
        request_id = given_id(head) or new_text()
        REQUEST_ID.set(request_id)
        own = (b"x-request-id", request_id.encode("ascii"))
        status, complete = 0, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                given = scope.get(security_headers.KEY, security_headers.API)
                limits = () if head.ticket is None else head.ticket.headers()
                message["headers"] = [*message.get("headers", ()), own, *limits, *given]
            elif not message.get("more_body", False):
                complete = True
            await send(message)

        try:
            self._check(scope, head)
            await self._app(scope, receive, send_with_id)
        except PlatformError as error:
            await _answer_problem(error, status, send_with_id)
        except Exception:
            log.exception("request failed")
            if not complete:
                await _answer_problem(internal(), status, send_with_id)
        finally:
            _count(scope, status, time.perf_counter() - begun)

    def _check(self, scope: Scope, head: RequestHead) -> None:
        if "aip_refusal" in scope:
            raise scope["aip_refusal"]
        self._hosts.check(head.all(b"host"))
        if any(value.lower() != b"100-continue" for value in head.all(b"expect")):
            raise ExpectationFailed("only 100-continue can be expected")


def _head(scope: Scope) -> RequestHead:
    """The request's head, read now unless that was done before."""
    if "aip_begun" in scope:
        head: RequestHead = scope["aip_begun"].head
    else:
        head = RequestHead(scope["method"], scope["path"], scope["raw_path"], scope["query_string"], scope["headers"])
        head.client = scope["client"]
    scope["aip_head"] = head
    return head


def _count(scope: Scope, status: int, seconds: float) -> None:
    if "aip_replaced" in scope:  # what answered instead is counted
        return
    route = str(scope.get("aip_route") or getattr(scope.get("route"), "path", UNMATCHED))
    count_request(route, scope["method"] if route != UNMATCHED else "", status or 499, seconds)


async def _answer_problem(error: PlatformError, status: int, send: Send) -> None:
    if status:  # the answer has begun: all that is left is to cut it off
        raise error
    number, headers, body = encoded_problem(error)
    await send({"type": "http.response.start", "status": number, "headers": headers})
    await send({"type": "http.response.body", "body": body})
