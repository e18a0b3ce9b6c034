"""What a connection reads: HTTP/1.1 with bounds, through uvicorn's parser, and the fast path.

Each thing that a caller can make this process keep has a bound: a head, trailers, the framing of a body, what comes
after an answer, and requests that wait behind others. `Room` bounds what all connections hold together.
"""

import asyncio
import contextlib

import httptools

from ai_platform.api.draining import Lifecycle
from ai_platform.api.http.context import KEY, RequestContext
from ai_platform.api.http.request_head import RequestHead
from ai_platform.api.prediction.fast_path import FastPath
from ai_platform.api.prediction.paths import PredictionPath
from ai_platform.api.server.connection import Connection, Stage
from ai_platform.api.server.framing import check_framing, head_without_upgrade
from ai_platform.api.server.room import Room, Surplus, Trailers
from ai_platform.errors import HeadersTooLarge, NotImplementedHere, PlatformError, UrlTooLong
from ai_platform.serving.predictor import PredictionRequest
from ai_platform.settings import LimitSettings

MAX_HEADERS = 100
# Requests of one chunk that are answered at once; what is behind them waits its turn, as other callers do.
MOST_AT_ONCE = 32
# Requests that wait behind one that is being answered; what is behind them is not parsed before they are begun.
MOST_WAITING = 32
# What is parsed in one go, so that few more than that can begin in it: the shortest request has 26 bytes.
SLICE_BYTES = 16_384
# What is read of a body whose request was answered already, so that the connection can go on.
AFTER_ANSWER_BYTES = 262_144
# What a waiting request holds beside its body: its description, an event, a task.
WAITING_BYTES = 4_096
# A caller who was refused because too many wait, and asks again without waiting, is read again after this long. No
# answer is delayed by it; but refusals without end would take the processor that the model needs.
REFUSED_SECONDS = 0.01
_REFUSED = b"HTTP/1.1 503"


class BoundedProtocol(Connection):
    """One connection, as it is read.

    A prediction request that is whole in one chunk is answered by the fast path, here and now; until its end was
    seen it is held: neither scope nor task is made for it.

    `_fed` counts the bytes of later chunks than the one in which the stage began, so that a request that arrives whole
    costs no counting: a chunk no larger than the bound cannot hold a head that is.
    """

    unsuspicious: int
    fast_path: FastPath

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The caller has connected."""
        self.parser = httptools.HttpRequestParser(self)  # strict: nothing is read after `Connection: close`
        self.url, self.headers = b"", []
        self._chunk = self._at_once = 0
        self._held: PredictionPath | None = None
        self._body = b""
        self._kept = b""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the caller's."""
        if self._refusal is not None or self._lingering.lingers:
            self._lingering.drop(len(data))
            return
        self._silent = False
        self._at_once = 0
        if self.pipeline or self._kept:
            self._keep(data)
            return
        if len(data) <= SLICE_BYTES:
            self._feed(data)
        else:
            self._feed_in_slices(data)
        if self._held is not None:
            with contextlib.suppress(PlatformError):  # it is refused already
                self._let_go()
        if self._stage or self._timer or self._taken:
            self._mind()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._stage, self._timed, self._fed = Stage.HEAD, Stage.NOTHING, 0
        self.url, self.headers = b"", []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which `Trailers` only counts."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole.

        Raises:
            PlatformError: it is refused; the parser passes that on to `send_400_response`.
        """
        if self._fed + self._chunk > self.unsuspicious or len(self.headers) > MAX_HEADERS:
            self._check_head()
        if self.parser.should_upgrade():
            self._check_tunnel()
            return  # `_feed_without_upgrade` comes next
        target = self.fast_path.targets.get(self.url)
        if target is not None and self._is_free() and self.parser.get_method() == b"POST":
            self._stage, self._fed = Stage.BODY, 0
            self._held, self._body = target, b""
        else:
            self._make_cycle()
            self._stage, self._fed = Stage.BODY, 0

    def on_chunk_header(self) -> None:
        """The size of a chunk was read: the body is chunked, and what comes as a header from now on is a trailer."""
        if self._held is not None:
            self._let_go()
        self._chunks += 1
        if not isinstance(self.headers, Trailers):
            self.headers = Trailers(self.limits.header_bytes, MAX_HEADERS)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._held is not None:
            self._body = self._body + body if self._body else body
            return
        self._content += len(body)
        if not self.cycle.response_complete:
            self._take_or_refuse(len(body))
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._held is None:
            if not self.parser.should_upgrade():
                self._stage = Stage.NOTHING
                super().on_message_complete()
            return
        self._stage = Stage.NOTHING
        head = RequestHead("POST", self._held.route, self.url, b"", self.headers)
        head.client = self.client
        answer = self.fast_path.answer(self._held, head, self._body, self.server_state.default_headers)
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
            self._let_go(answer, head)
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written: begin what came behind it in the pipeline, or wait for more.

        One timer a connection looks now and then; uvicorn makes one after each answer.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._release()
            if self.timeout_keep_alive_task is None:
                self._look_when_idle(self.timeout_keep_alive)
        if not self.pipeline:
            self._read_behind()

    def _feed(self, data: bytes | memoryview) -> None:
        self._chunk = len(data)
        if self._stage:
            self._fed += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._feed_without_upgrade(memoryview(data)[stopped.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def _feed_in_slices(self, data: bytes) -> None:
        whole = memoryview(data)
        for start in range(0, len(data), SLICE_BYTES):
            if len(self.pipeline) >= MOST_WAITING:
                self._keep(data[start:])
                break
            self._feed(whole[start : start + SLICE_BYTES])
            if self._refusal is not None:
                break
        self._chunk = len(data)

    def _feed_without_upgrade(self, rest: memoryview) -> None:
        """Parse a request again as if it had offered no other protocol, and then what is behind its head.

        The parser takes the end of such a head for the end of the request, and its body for the next one. An upgrade
        that is not done leaves the framing as it is (RFC 9110, section 7.8).
        """
        while self._refusal is None:
            head = head_without_upgrade(
                self.parser.get_method(), self.parser.get_http_version(), self.url, self.headers
            )
            self.parser = httptools.HttpRequestParser(self)
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stopped:
                rest = rest[stopped.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("")
            else:
                break

    def _keep(self, data: bytes) -> None:
        """Put aside what came behind requests that wait, and read no more before they are begun."""
        self._kept += data
        self._take(len(data))
        self.flow.pause_reading()

    def _read_behind(self) -> None:
        """Go on with what comes behind the requests that are begun."""
        if self._kept:
            self.loop.call_soon(self._parse_kept)
        else:
            self.flow.resume_reading()

    def _parse_kept(self) -> None:
        if self._refusal is None and not self.transport.is_closing() and not self.pipeline:
            kept, self._kept = self._kept, b""
            self.data_received(kept)
            if not self.pipeline:
                self._read_behind()

    def _reads_on(self) -> bool:
        return not self._kept and not self.pipeline

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _is_free(self) -> bool:
        """Whether a whole answer can be written at once, and the connection stays open after it."""
        if self._answers() or self._at_once >= MOST_AT_ONCE or self.flow.write_paused or self.lifecycle.ending:
            return False
        return self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"

    def _let_go(self, begun: PredictionRequest | None = None, head: RequestHead | None = None) -> None:
        """Send the request that is held on the slow path, as far as it has come.

        Raises:
            PlatformError: it is refused.
        """
        path, self._held = self._held, None
        context = self._make_cycle()
        if begun is not None and head is not None and path is not None:
            context.begun, context.head = begun, head
            context.route, context.codec = path.route, begun.codec
        elif self._body:
            self.on_body(self._body)

    def _make_cycle(self) -> RequestContext:
        """What uvicorn does at a request's first byte and at the end of its head, in one; the request's context.

        Raises:
            PlatformError: its head has two meanings.
        """
        url, headers, stage = self.url, self.headers, self._stage
        self._stage = Stage.HEAD
        method, version = self.parser.get_method(), self.parser.get_http_version()
        try:
            check_framing(method, version, url, headers)
        except PlatformError as refusal:
            self._refuse(refusal)
            raise
        if self._answers():
            self._take_or_refuse(WAITING_BYTES)
        else:
            self._take(WAITING_BYTES)
        self._stage = stage
        super().on_message_begin()
        self.url, self.headers = url, headers
        self.expect_100_continue = version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        self.scope["headers"] = headers
        context = RequestContext(is_gone=self.transport.is_closing)
        self.scope[KEY] = context  # type: ignore[literal-required]
        super().on_headers_complete()
        if self.lifecycle.ending:
            self.cycle.keep_alive = False
        self._content = self._chunks = self._after = 0
        self._surplus = Surplus(self.limits.header_bytes)
        return context

    def _check_tunnel(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            refusal = NotImplementedHere("this server is no proxy and opens no tunnel")
            self._refuse(refusal)
            raise refusal

    def _check_head(self) -> None:
        if len(self.url) > self.limits.url_bytes:
            self._refuse(UrlTooLong(f"path and query may have {self.limits.url_bytes} bytes together"))
        elif len(self.headers) > MAX_HEADERS:
            self._refuse(HeadersTooLarge(f"a request may have {MAX_HEADERS} headers"))
        elif self._fed > self.limits.url_bytes + self.limits.header_bytes or self._headers_are_too_large():
            self._refuse(HeadersTooLarge(f"the headers may have {self.limits.header_bytes} bytes together"))
        if self._refusal is not None:
            raise self._refusal

    def _headers_are_too_large(self) -> bool:
        return sum(len(name) + len(value) + 4 for name, value in self.headers) > self.limits.header_bytes

    def _mind(self) -> None:
        """After a chunk that left a request unfinished, or that finished one which was waited for."""
        if self._refusal is not None or self.transport.is_closing():
            return
        try:
            if self._stage is Stage.HEAD:
                self._check_head()
                self._take_or_refuse(self._chunk)
            elif self._stage is Stage.BODY:
                self._mind_body()
            elif self._taken and not self._answers():
                self._release()
        except PlatformError:
            return
        self._time_stage()

    def _mind_body(self) -> None:
        if self._surplus.is_too_large(self._fed, self._content, self._chunks):
            limit = self.limits.header_bytes
            refusal = HeadersTooLarge(f"trailers and extensions of chunks may have {limit} bytes together")
            self._refuse(refusal)
            raise refusal
        if self.cycle.response_complete:
            self._after += self._chunk
            if self._after > AFTER_ANSWER_BYTES:
                self.transport.close()


def bounded(limits: LimitSettings, fast_path: FastPath, lifecycle: Lifecycle) -> type[BoundedProtocol]:
    """The protocol class of a process with these limits, whose prediction requests may take that path."""
    unsuspicious = min(limits.url_bytes, limits.header_bytes)
    room = Room(limits.buffered_mb * 1024 * 1024)
    own = {"limits": limits, "unsuspicious": unsuspicious, "fast_path": fast_path, "lifecycle": lifecycle, "room": room}
    return type("BoundedProtocol", (BoundedProtocol,), own)
