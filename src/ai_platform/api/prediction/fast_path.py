"""The fast path: a prediction request that came in one piece is answered where it was read, without a task.

It takes the steps of `Serving`, one after another and without waiting. What cannot be answered so goes on to the
middleware and the prediction endpoint: untouched, if that is seen before the caller is charged; else as it was read.
"""

import time
from http import HTTPStatus

from ai_platform.api.http import security_headers
from ai_platform.api.http.answers import encoded_error, internal
from ai_platform.api.http.auth import identify
from ai_platform.api.http.deadline import HEADER as DEADLINE
from ai_platform.api.http.hosts import Hosts
from ai_platform.api.http.request_head import Headers, RequestHead
from ai_platform.api.http.request_id import given_id
from ai_platform.api.prediction.paths import PredictionPath, PredictionPaths
from ai_platform.codecs.codec import Codec
from ai_platform.codecs.platform_json import JSON
from ai_platform.errors import PlatformError
from ai_platform.predictions.ids import new_text
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.serving.bootstrap import Services
from ai_platform.serving.decoding import LARGE_BYTES
from ai_platform.serving.predictor import PredictionRequest
from ai_platform.telemetry import REQUEST_ID, count_request, logger

log = logger(__name__)

# What only the slow path reads.
_SLOW_PATH = frozenset(
    {b"content-encoding", b"expect", b"idempotency-key", b"origin", b"prefer", b"transfer-encoding",
     b"upgrade", DEADLINE}
)  # fmt: skip
_OK = 200
_STATUS_LINE = b"HTTP/1.1 %d %b\r\n"


class FastPath:
    """Answers prediction requests at once.

    Args:
        paths: which paths are predictions.
        services: the services of this process.
        hosts: which are served.
        codec: the protocol of the bodies.

    Attributes:
        targets: the paths that it answers.
    """

    def __init__(self, paths: PredictionPaths, services: Services, hosts: Hosts, codec: Codec = JSON) -> None:
        settings = services.settings
        self._serving = services.serving
        self._codec = codec
        self._content_type = codec.content_type.encode()
        self._affinity = settings.models.affinity_header.lower().encode()
        self._hosts = hosts
        # The address matters to its limit alone; then uvicorn finds out whose it is, on the slow path.
        by_proxy = bool(settings.api.trusted_proxies and settings.access.address_rows_per_second)
        self._unread = _SLOW_PATH | {b"x-forwarded-for"} if by_proxy else _SLOW_PATH
        self._middle = (
            _lines([*security_headers.API, (b"content-type", self._content_type)])
            + b"x-cache: bypass\r\nx-request-id: "
        )
        self._given: Headers = []
        self._start = b""
        self.targets = paths.known

    def answer(
        self, path: PredictionPath, head: RequestHead, body: bytes, given: Headers
    ) -> bytes | PredictionRequest | None:
        """Answer a POST of HTTP/1.1 on a connection that is kept open.

        Args:
            path: what is asked for.
            head: of the request.
            body: the whole body.
            given: the server's own headers, in front of all others.

        Returns:
            The whole answer; or what was read, if it is to be answered later; or None, if nothing of it was.

        Raises:
            nothing: what is wrong with the request, or here, becomes an answer.
        """
        begun_at = time.perf_counter()
        prepared = self._prepared(path, head, body)
        if prepared is None:
            return None
        request_id = given_id(head)
        number = new_text()
        token = REQUEST_ID.set(request_id or number)
        try:
            identify(self._serving.authorizer, head)
            self._serving.authorize(head.caller, path.target)
            asked = self._serving.read_now(head.caller, prepared, self._codec, body)
            encoded = self._serving.predict_at_once(asked, number)
            if encoded is None:
                return asked
            status = _OK
            answer = self.written(head, request_id or number, encoded, given)
        except PlatformError as error:
            status, answer = self._refusal(error, head, given)
        except Exception:
            log.exception("request failed")
            status, answer = self._refusal(internal(), head, given)
        finally:
            REQUEST_ID.reset(token)
        self._count(path, status, time.perf_counter() - begun_at)
        return answer

    def _prepared(self, path: PredictionPath, head: RequestHead, body: bytes) -> PreparedModel | None:
        """The version that answers; None if this request must go the slow path."""
        named = head.named
        if head.repeats or named.get(b"content-type") != self._content_type or not self._unread.isdisjoint(named):
            return None
        if len(body) > LARGE_BYTES or not self._hosts.knows(named.get(b"host")):
            return None
        try:
            return self._serving.held(path.target, named.get(self._affinity))
        except PlatformError:
            return None

    def written(self, head: RequestHead, request_id: str, body: bytes, given: Headers) -> bytes:
        """An answer with 200, as it goes to the connection.

        Args:
            head: of the request.
            request_id: of the request.
            body: the encoded result object.
            given: the server's own headers.
        """
        if given is not self._given:  # the server makes a new list each second, for the date
            self._given, self._start = given, _STATUS_LINE % (_OK, b"OK") + _lines(given) + self._middle
        limits = b"" if head.caller.ticket is None else _lines(head.limit_headers())
        return b"%b%b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            self._start, request_id.encode("ascii"), limits, len(body), body,
        )  # fmt: skip

    def _refusal(self, error: PlatformError, head: RequestHead, given: Headers) -> tuple[int, bytes]:
        status, headers, body = encoded_error(self._codec, error)
        headers.append((b"x-request-id", (REQUEST_ID.get() or "").encode()))
        headers += [*head.limit_headers(), *security_headers.API]
        line = _STATUS_LINE % (status, HTTPStatus(status).phrase.encode())
        return status, line + _lines(given) + _lines(headers) + b"\r\n" + body

    def _count(self, path: PredictionPath, status: int, seconds: float) -> None:
        if status == _OK and path.tally is not None:
            path.tally.add(seconds)
        else:
            count_request(path.route, "POST", status, seconds)


def _lines(headers: Headers) -> bytes:
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])
