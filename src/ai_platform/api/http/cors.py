"""Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol) from the origins that are configured.

Keys travel in headers and never in cookies, so that credentials are never allowed, and an origin gains no more than
its own key gives. Without configured origins none of this is in the way of a request.
"""

from ai_platform.api.http import security_headers
from ai_platform.api.http.asgi import App, Message, Receive, Scope, Send

_METHODS = b"DELETE, GET, PATCH, POST, PUT"
_READ = b"authorization, content-type, idempotency-key, last-event-id, prefer, x-api-key, x-request-id"
_SHOWN = (
    b"idempotent-replayed, location, preference-applied, ratelimit, ratelimit-policy, retry-after, x-cache,"
    b" x-request-id"
)
_PREFLIGHT = [
    *security_headers.API,
    (b"access-control-allow-methods", _METHODS),
    (b"access-control-allow-headers", _READ),
    (b"access-control-max-age", b"600"),
]


class CrossOrigin:
    """Wraps the whole application, so that refusals can be read too.

    Args:
        app: what answers.
        origins: `scheme://host[:port]` of the pages whose scripts may read its answers.
    """

    def __init__(self, app: App, origins: list[str]) -> None:
        self._app = app
        self._origins = {origin.encode("ascii") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and tell the browser whether its page may read the answer."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        origin = headers.get(b"origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        allowed = [(b"vary", b"Origin")]
        if origin in self._origins:
            allowed += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _SHOWN)]
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await send({"type": "http.response.start", "status": 204, "headers": [*_PREFLIGHT, *allowed]})
                await send({"type": "http.response.body", "body": b""})
                return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowed]
            await send(message)

        await self._app(scope, receive, send_allowed)
