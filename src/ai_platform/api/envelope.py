"""Around every request, whichever door it takes: its id, host, problem details, headers, metrics. Plain ASGI."""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from ai_platform.access.limiter import Ticket
from ai_platform.api import security_headers
from ai_platform.api.problems import internal, problem
from ai_platform.errors import ExpectationFailed, PlatformError, UnknownHost
from ai_platform.predictions.identity import new_id
from ai_platform.settings import Settings
from ai_platform.telemetry import REQUEST_ID, REQUEST_SECONDS, REQUESTS, logger

log = logger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UNMATCHED = "unmatched"
_GIVEN_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Envelope:
    """Wraps the lane and the FastAPI application alike.

    Args:
        app: what answers; it may raise any `PlatformError`, and sets `scope["aip_route"]` or `scope["route"]`.
            The protocol sets `scope["aip_refusal"]` to what is raised before that, and `scope["aip_replaced"]` when
            such a refusal answers instead of the request.
        settings: host allow-list.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        hosts = settings.api.allowed_hosts
        self._hosts = None if "*" in hosts else {host.strip("[]").lower() for host in hosts}
        self._known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing that is raised below leaves without problem details."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = scope["headers"]
        request_id = _request_id(headers)
        REQUEST_ID.set(request_id.decode("ascii"))
        status, complete = 0, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                given = scope.get(security_headers.KEY, security_headers.API)
                own = (b"x-request-id", request_id)
                message["headers"] = [*message.get("headers", ()), own, *_limits(scope), *given]
            elif not message.get("more_body", False):
                complete = True
            await send(message)

        try:
            self._check(scope, headers)
            await self._app(scope, receive, send_with_id)
        except PlatformError as error:
            await _answer_problem(error, status, send_with_id)
        except Exception:
            log.exception("request failed")
            if not complete:
                await _answer_problem(internal(), status, send_with_id)
        finally:
            _count(scope, status, time.perf_counter() - begun)

    def _check(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
        if "aip_refusal" in scope:
            raise scope["aip_refusal"]
        host = b""
        for name, value in headers:
            if name == b"host":
                if host:
                    raise UnknownHost("a request names one host")
                host = value
            elif name == b"expect" and value.lower() != b"100-continue":
                raise ExpectationFailed("only 100-continue can be expected")
        if self._hosts is not None and host not in self._known_hosts:
            self._check_host(host)

    def _check_host(self, host: bytes) -> None:
        assert self._hosts is not None
        try:
            name = urlsplit(f"//{host.decode('ascii')}").hostname or ""
        except ValueError:
            name = ""
        if name.lower() not in self._hosts:
            raise UnknownHost("this server does not serve that host; see AI_PLATFORM_API__ALLOWED_HOSTS")
        if len(self._known_hosts) < 64:  # noqa: PLR2004  # ports vary; a caller must not grow it without end
            self._known_hosts.add(host)


def _count(scope: Scope, status: int, seconds: float) -> None:
    if "aip_replaced" in scope:  # what answered instead is counted
        return
    route = scope.get("aip_route") or getattr(scope.get("route"), "path", UNMATCHED)
    REQUESTS.labels(route, scope["method"] if route != UNMATCHED else "", str(status or 499)).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)


def _limits(scope: Scope) -> list[tuple[bytes, bytes]]:
    ticket: Ticket | None = scope.get("aip_ticket")
    return ticket.headers() if ticket is not None else []


def _request_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            return value
    return new_id().hex.encode()


async def _answer_problem(error: PlatformError, status: int, send: Send) -> None:
    if status:  # the answer has begun: all that is left is to cut it off
        raise error
    number, headers, body = problem(error)
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": number, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
