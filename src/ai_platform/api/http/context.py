"""What the server, the middleware and the routes tell one another of one request: one object in the ASGI scope."""

from collections.abc import Callable, MutableMapping
from typing import Any

from ai_platform.api.http import security_headers
from ai_platform.api.http.request_head import Headers, RequestHead
from ai_platform.codecs.codec import Codec
from ai_platform.codecs.platform_json import JSON
from ai_platform.errors import PlatformError
from ai_platform.serving.predictor import PredictionRequest

KEY = "ai_platform"


class RequestContext:
    """One request on its way through the server.

    Attributes:
        head: its request line, headers and caller; set by the middleware, or by the fast path before it.
        route: the path's template, for metrics; None while nothing has taken it.
        codec: the protocol that errors are written in.
        begun: what the fast path has read and charged, and did not answer.
        refusal: what is raised instead of answering it.
        is_replaced: whether such a refusal answers in its place.
        is_gone: whether the caller has closed the connection; None where nobody can tell.
        response_headers: what the answer tells a browser.
    """

    __slots__ = ("begun", "codec", "head", "is_gone", "is_replaced", "refusal", "response_headers", "route")

    def __init__(self, is_gone: Callable[[], bool] | None = None, refusal: PlatformError | None = None) -> None:
        self.head: RequestHead
        self.route: str | None = None
        self.codec: Codec = JSON
        self.begun: PredictionRequest | None = None
        self.refusal = refusal
        self.is_replaced = False
        self.is_gone = is_gone
        self.response_headers: Headers = security_headers.API


def context_of(scope: MutableMapping[str, Any]) -> RequestContext:
    """The request's context, made where the server has made none."""
    found: RequestContext | None = scope.get(KEY)
    if found is None:
        found = scope[KEY] = RequestContext()
    return found
