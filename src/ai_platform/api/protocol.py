"""uvicorn's HTTP/1.1 protocol with bounds: how large and how slow the beginning of a request and its body may be.

uvicorn enforces none of them. What is refused here is answered by the application all the same, with problem details
and an id: the refusal stands in the request's scope, and the envelope raises it. Then the connection is closed.
"""

import asyncio
from enum import IntEnum
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ai_platform.api.transport import LingeringTransport
from ai_platform.errors import HeadersTooLarge, MalformedRequest, PlatformError, RequestTimedOut, UrlTooLong
from ai_platform.settings import LimitSettings
from ai_platform.telemetry import CONNECTIONS_REFUSED

MAX_HEADERS = 100
# A body that has used up its seconds goes on as long as it keeps this pace, so that an upload has no fixed size.
SLOWEST_BYTES_A_SECOND = 65_536


class _Stage(IntEnum):
    """What of a request has not arrived yet."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    `_fed` counts the bytes of later chunks than the one in which the stage began, so that a request that arrives whole
    costs no counting: a chunk no larger than the bound cannot hold a head that is.
    """

    limits: LimitSettings
    unsuspicious: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The caller has connected; if there is room, it has `limits.header_seconds` to say what it wants."""
        lingering = LingeringTransport(transport, self.loop, self._owes_input)
        super().connection_made(lingering)  # type: ignore[arg-type]  # all of a transport that uvicorn uses
        self.url, self.headers = b"", []
        self._refusal: PlatformError | None = None
        self._silent = True
        self._stage, self._timed = _Stage.HEAD, _Stage.NOTHING
        self._timer: asyncio.TimerHandle | None = None
        self._chunk = self._fed = 0
        if len(self.connections) > self.limits.connections:
            CONNECTIONS_REFUSED.inc()
            self.transport.close()
        else:
            self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of the caller's."""
        if self._refusal is not None or self.transport.is_closing():
            return
        self._silent = False
        self._chunk = len(data)
        if self._stage:
            self._fed += self._chunk
        super().data_received(data)
        if self._stage or self._timer:
            self._mind()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._stage, self._timed, self._fed = _Stage.HEAD, _Stage.NOTHING, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole.

        Raises:
            PlatformError: it is too large; the parser passes that on to `send_400_response`.
        """
        if self._fed + self._chunk > self.unsuspicious or len(self.headers) > MAX_HEADERS:
            self._check_head()
        self.scope["aip_gone"] = self.transport.is_closing  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        self._stage, self._fed = _Stage.BODY, 0

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._stage = _Stage.NOTHING
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, and in plain text
        """What came is no HTTP, or a callback above raised."""
        self._refuse(MalformedRequest("the request line, a header or the length of the body cannot be read"))

    def _unsupported_upgrade_warning(self) -> None:
        """No line in the log for each caller that offers another protocol; it is answered in this one."""

    def _check_head(self) -> None:
        if len(self.url) > self.limits.url_bytes:
            self._refuse(UrlTooLong(f"path and query may have {self.limits.url_bytes} bytes together"))
        elif len(self.headers) > MAX_HEADERS:
            self._refuse(HeadersTooLarge(f"a request may have {MAX_HEADERS} headers"))
        elif self._fed > self._largest_head or self._size_of_headers() > self.limits.header_bytes:
            self._refuse(HeadersTooLarge(f"the headers may have {self.limits.header_bytes} bytes together"))
        if self._refusal is not None:
            raise self._refusal

    @property
    def _largest_head(self) -> int:
        return self.limits.url_bytes + self.limits.header_bytes

    def _size_of_headers(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _mind(self) -> None:
        """After a chunk that left a request unfinished, or that finished one which was waited for."""
        if self._refusal is not None or self.transport.is_closing():
            return
        if self._stage is _Stage.HEAD:
            try:
                self._check_head()
            except PlatformError:
                return
        if self._stage is not self._timed or not self._stage:
            self._stop_timer()
            self._timed, self._begun = self._stage, self.loop.time()
            if self._stage:
                self._set_timer(self._patience)

    @property
    def _patience(self) -> float:
        return self.limits.header_seconds if self._stage is _Stage.HEAD else self.limits.body_seconds

    def _set_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is we who do not read
            self._set_timer(self._patience)
        elif self._silent:
            self.transport.close()
        elif self._stage is _Stage.HEAD:
            self._refuse(RequestTimedOut(f"the headers must arrive within {self.limits.header_seconds:g} s"))
        else:
            self._body_is_slow()

    def _body_is_slow(self) -> None:
        allowed = self.limits.body_seconds + self._fed / SLOWEST_BYTES_A_SECOND
        left = self._begun + allowed - self.loop.time()
        if left > 0:
            self._set_timer(max(left, 0.1))
        else:
            self._refuse(RequestTimedOut(f"the body must arrive within {self.limits.body_seconds:g} s"))

    def _refuse(self, refusal: PlatformError) -> None:
        """Read no more of this connection, answer what can be answered, and close it."""
        if self._refusal is not None:
            return
        self._refusal = refusal
        self._stop_timer()
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and self._stage is _Stage.BODY:
            self.transport.close()  # it has its answer, and only owed the rest of its body
        elif cycle is None or cycle.response_complete:
            self._answer(refusal)
        elif self._stage is _Stage.BODY and not cycle.response_started:
            # The application that waits for the rest sees a caller that left; the answer is ours.
            cycle.scope["aip_replaced"] = True  # type: ignore[typeddict-unknown-key]
            cycle.disconnected = True
            cycle.message_event.set()
            self._answer(refusal)
        else:
            cycle.keep_alive = False  # an answer is being written; the connection ends with it

    def _owes_input(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self._stage is not _Stage.NOTHING

    def _answer(self, refusal: PlatformError) -> None:
        self._unset_keepalive_if_required()
        nowhere: Any = {
            "type": "http", "asgi": {"version": self.asgi_version, "spec_version": "2.3"}, "http_version": "1.1",
            "server": self.server, "client": self.client, "scheme": self.scheme, "root_path": self.root_path,
            "headers": self.headers, "state": {}, "method": "", "path": "", "raw_path": b"", "query_string": b"",
            "aip_refusal": refusal,
        }  # fmt: skip
        self.cycle = RequestResponseCycle(
            scope=nowhere, transport=self.transport, flow=self.flow, logger=self.logger,
            access_logger=self.access_logger, access_log=False, default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(), expect_100_continue=False, keep_alive=False,
            on_response=self.on_response_complete,
        )  # fmt: skip
        self._start_asgi_task(self.cycle, self.app)


def bounded(limits: LimitSettings) -> type[BoundedProtocol]:
    """The protocol class of a server with these limits."""
    unsuspicious = min(limits.url_bytes, limits.header_bytes)
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits, "unsuspicious": unsuspicious})
