"""uvicorn's HTTP/1.1 protocol with bounds: how large and how slow the beginning of a request and its body may be.

uvicorn enforces none of them. What is refused here is answered by the application all the same, with problem details
and an id: the refusal stands in the request's scope, and the envelope raises it. Then the connection is closed.
"""

import asyncio
from enum import IntEnum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ai_platform.api.draining import Life
from ai_platform.api.express import Express
from ai_platform.api.head import Head
from ai_platform.api.lane import Begun, Target
from ai_platform.api.transport import LingeringTransport
from ai_platform.errors import HeadersTooLarge, MalformedRequest, PlatformError, RequestTimedOut, UrlTooLong
from ai_platform.settings import LimitSettings
from ai_platform.telemetry import CONNECTIONS_REFUSED

MAX_HEADERS = 100
# A body that has used up its seconds goes on as long as it keeps this pace, so that an upload has no fixed size.
SLOWEST_BYTES_A_SECOND = 65_536
# Requests of one chunk that are answered at once; what is behind them waits its turn, as other callers do.
MOST_AT_ONCE = 32
# A caller who was refused because too many wait, and asks again without waiting, is read again after this long. No
# answer is delayed by it; but refusals without end would take the processor that the model needs.
REFUSED_SECONDS = 0.01
_REFUSED = b"HTTP/1.1 503"


class _Stage(IntEnum):
    """What of a request has not arrived yet."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    A prediction request that is whole in one chunk is answered by the express door, here and now; until its end was
    seen it is held: neither scope nor task is made for it.

    `_fed` counts the bytes of later chunks than the one in which the stage began, so that a request that arrives whole
    costs no counting: a chunk no larger than the bound cannot hold a head that is.
    """

    limits: LimitSettings
    unsuspicious: int
    express: Express
    life: Life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The caller has connected; if there is room, it has `limits.header_seconds` to say what it wants."""
        self._lingering = LingeringTransport(transport, self.loop, self._owes_input)
        super().connection_made(self._lingering)  # type: ignore[arg-type]  # all of a transport that uvicorn uses
        self.url, self.headers = b"", []
        self._refusal: PlatformError | None = None
        self._silent = True
        self._stage, self._timed = _Stage.HEAD, _Stage.NOTHING
        self._timer: asyncio.TimerHandle | None = None
        self._chunk = self._fed = self._at_once = 0
        self._held: Target | None = None
        self._body = b""
        self._idle_since = 0.0
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
        if self._refusal is not None or self._lingering.lingers:
            return
        self._silent = False
        self._chunk, self._at_once = len(data), 0
        if self._stage:
            self._fed += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        except httptools.HttpParserUpgrade:
            pass  # a caller that offers another protocol is answered in this one
        if self._held is not None:
            self._let_go(None)
        if self._stage or self._timer:
            self._mind()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._stage, self._timed, self._fed = _Stage.HEAD, _Stage.NOTHING, 0
        self.url, self.headers = b"", []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole.

        Raises:
            PlatformError: it is too large; the parser passes that on to `send_400_response`.
        """
        if self._fed + self._chunk > self.unsuspicious or len(self.headers) > MAX_HEADERS:
            self._check_head()
        self._stage, self._fed = _Stage.BODY, 0
        target = self.express.targets.get(self.url)
        if target is not None and self._is_free() and self.parser.get_method() == b"POST":
            self._held, self._body = target, b""
        else:
            self._make_cycle()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._held is not None:
            self._body = self._body + body if self._body else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._stage = _Stage.NOTHING
        if self._held is None:
            super().on_message_complete()
            return
        head = Head("POST", self._held.route, self.url, b"", self.headers)
        head.client = self.client
        answer = self.express.answer(self._held, head, self._body, self.server_state.default_headers)
        if isinstance(answer, bytes):
            self._held = None
            self._at_once += 1
            self.transport.write(answer)
            self.server_state.total_requests += 1
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._look_when_idle(self.timeout_keep_alive)
            if answer.startswith(_REFUSED):
                self.flow.pause_reading()
                self.loop.call_later(REFUSED_SECONDS, self._read_on)
        else:
            self._let_go(answer)
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written: begin what came behind it in the pipeline, or wait for more.

        One timer a connection looks now and then how long it has been idle; uvicorn makes one after each answer.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.timeout_keep_alive_task is None:
            self._look_when_idle(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for as long as it may."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if self._stage or self._answers():
            self._look_when_idle(self.timeout_keep_alive)
        elif left > 0:
            self._look_when_idle(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def shutdown(self) -> None:
        """The process drains: if no answer has begun, the present one says that it is the last."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def close_if_idle(self) -> None:
        """Close it, unless a request is being received or answered."""
        if self._silent or (self._stage is _Stage.NOTHING and not self._answers()):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, and in plain text
        """What came is no HTTP, or a callback above raised."""
        self._refuse(MalformedRequest("the request line, a header or the length of the body cannot be read"))

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _look_when_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _answers(self) -> bool:
        """Whether a request is being answered on the long way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_free(self) -> bool:
        """Whether a whole answer can be written at once, and the connection stays open after it."""
        if self._answers() or self._at_once >= MOST_AT_ONCE or self.flow.write_paused or self.life.ending:
            return False
        return self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"

    def _let_go(self, begun: Begun | None) -> None:
        """Send the request that is held on the long way, as far as it has come."""
        self._held = None
        self._make_cycle()
        if begun is not None:
            self.scope["aip_begun"] = begun  # type: ignore[typeddict-unknown-key]
        elif self._body:
            super().on_body(self._body)

    def _make_cycle(self) -> None:
        """What uvicorn does at a request's first byte and at the end of its head, in one."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url, self.headers = url, headers
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        self.scope["headers"] = headers
        self.scope["aip_gone"] = self.transport.is_closing  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        if self.life.ending:
            self.cycle.keep_alive = False

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


def bounded(limits: LimitSettings, express: Express, life: Life) -> type[BoundedProtocol]:
    """The protocol class of a process with these limits, whose prediction requests may go through that door."""
    unsuspicious = min(limits.url_bytes, limits.header_bytes)
    own = {"limits": limits, "unsuspicious": unsuspicious, "express": express, "life": life}
    return type("BoundedProtocol", (BoundedProtocol,), own)
