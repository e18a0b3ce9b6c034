"""HEAD: the answer of GET without its body (RFC 9110, section 9.3.2), on every route that answers to GET."""

from ai_platform.api.http.asgi import App, Message, Receive, Scope, Send


class HeadAsGet:
    """Lets the application answer a HEAD as it would a GET, and ends the answer after its headers.

    Args:
        app: what answers; it sees a GET whose caller leaves once the headers are sent, so that a stream ends too.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["method"] = "HEAD"  # the server leaves the body out
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_headers)
        finally:
            scope["method"] = "HEAD"
