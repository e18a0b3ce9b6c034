"""One connection, apart from what it reads: its times, its part of the room, refusals, and its end.

uvicorn bounds none of them. What is refused here is answered by the application all the same, with problem details
and an id: the refusal stands in the request's context, and the middleware raises it. Then the connection is closed.
"""

import asyncio
import heapq
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ai_platform.api.draining import Lifecycle
from ai_platform.api.http.context import KEY, RequestContext, context_of
from ai_platform.api.server.room import Room
from ai_platform.api.server.transport import LingeringTransport
from ai_platform.errors import MalformedRequest, Overloaded, PlatformError, RequestTimedOut
from ai_platform.settings import LimitSettings
from ai_platform.telemetry import CONNECTIONS_CUT, CONNECTIONS_REFUSED

# A body that has used up its seconds goes on as long as it keeps this pace, so that an upload has no fixed size.
SLOWEST_BYTES_PER_SECOND = 65_536
# A caller who reads an answer at less than this pace is cut off.
SLOWEST_READ_BYTES_PER_SECOND = 1_024
# After the keep-alive time a connection is still read for so long; what comes then gets its answer, with
# `Connection: close`. A caller that keeps idle connections for no longer than we do never meets a closed one.
LATE_SECONDS = 5.0
# How soon a connection that seemed idle is looked at again, when bytes of it were waiting to be read.
SOON_SECONDS = 0.05
# Idle connections that are closed in one go for new ones: looking for the oldest costs a walk through all of them.
MOST_CLOSED_FOR_OTHERS = 256
# Whoever holds no more than this is not refused for what others hold.
SMALL_BYTES = 16_384
# Of what one connection may hold beyond one body: a read of the event loop's, and the socket's high-water mark.
READ_BYTES = 327_680

_OVER = Lifecycle()
_OVER.ending = True


class Stage(IntEnum):
    """What of a request has not arrived yet."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class Flow(FlowControl):
    """uvicorn's, but an application that waits for a body does not make it read what is kept behind other requests.

    Args:
        transport: of the connection.
        reads_on: whether more may be read.
    """

    def __init__(self, transport: Any, reads_on: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._reads_on = reads_on

    def resume_reading(self) -> None:
        """Read again, if nothing waits to be parsed."""
        if self.read_paused and self._reads_on():
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """What a connection does without looking at bytes."""

    limits: LimitSettings
    lifecycle: Lifecycle
    room: Room

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The caller has connected; if there is room, it has `limits.header_seconds` to say what it wants."""
        self._lingering = LingeringTransport(transport, self.loop, self._owes_input, self.limits.answer_seconds)
        super().connection_made(self._lingering)  # type: ignore[arg-type]  # all of a transport that uvicorn uses
        self.flow = Flow(self._lingering, self._reads_on)
        self._refusal: PlatformError | None = None
        self._silent = True
        self._stage, self._timed = Stage.HEAD, Stage.NOTHING
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._fed = self._content = self._taken = self._unread = 0
        self._leaves = False
        self._begun_cycle: RequestResponseCycle | None = None
        self._idle_since = self.loop.time()
        if len(self.connections) - self.room.leaving > self.limits.connections and not self._close_idle_ones():
            CONNECTIONS_REFUSED.inc()
            self.transport.close()
        else:
            self._time_stage()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._stop_timer()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
        self._release()
        self.room.used -= self._unread
        self._unread = 0
        self.room.leaving -= self._leaves
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._begun_cycle is not None:  # uvicorn tells only the request that came last
            self._begun_cycle.disconnected = True
            self._begun_cycle.message_event.set()
            self._begun_cycle = None

    def pause_writing(self) -> None:
        """The caller reads more slowly than it is answered."""
        super().pause_writing()
        self._unread = self._lingering.get_write_buffer_size()
        self.room.used += self._unread
        if self.room.is_over:
            self._cut("full")
        else:
            self._watch_reader()

    def resume_writing(self) -> None:
        """It has read most of it."""
        self.room.used -= self._unread
        self._unread = 0
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Look whether the connection has been idle for as long as it may; first it is told, then it is closed."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if self._stage or self._answers():
            self._look_when_idle(self.timeout_keep_alive)
        elif left > 0:
            self._look_when_idle(left)
        elif self.lifecycle is not _OVER:
            self.lifecycle = _OVER
            self._look_when_idle(LATE_SECONDS)
        elif not self.transport.is_closing():
            if self._lingering.has_input():
                self._look_when_idle(SOON_SECONDS)
            else:
                self.transport.close()

    def shutdown(self) -> None:
        """The process drains: if no answer has begun, the present one says that it is the last."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def close_if_idle(self) -> None:
        """Close it, unless a request is being received or answered."""
        if self._is_idle():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words, and in plain text
        """What came is no HTTP, or a callback of the parser's raised."""
        self._refuse(MalformedRequest("the request line, a header or the length of the body cannot be read"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._begun_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def _reads_on(self) -> bool:
        """Whether what comes next can be parsed at once."""
        return not self.pipeline

    def _is_idle(self) -> bool:
        return self._silent or (self._stage is Stage.NOTHING and not self._answers())

    def idle_rank(self) -> tuple[bool, float] | None:
        """The smaller, the sooner it leaves for others: first who never sent anything; None while it is busy."""
        if self.transport.is_closing() or not self._is_idle():
            return None
        return not self._silent, self._idle_since

    def leave(self) -> None:
        """Close it for others."""
        self._leaves = True
        self.room.leaving += 1
        self._cut("idle")

    def _close_idle_ones(self) -> bool:
        """Make room for this new caller, and some more; whether there is."""
        ranks = [
            (rank, number, one)
            for number, one in enumerate(self.connections)
            if isinstance(one, Connection) and one is not self and (rank := one.idle_rank()) is not None
        ]
        for _, _, one in heapq.nsmallest(min(MOST_CLOSED_FOR_OTHERS, 1 + self.limits.connections // 16), ranks):
            one.leave()
        return bool(ranks)

    def _cut(self, why: str) -> None:
        CONNECTIONS_CUT.labels(why).inc()
        self._lingering.abort()

    def _watch_reader(self) -> None:
        self._reader_timer = self.loop.call_later(
            self.limits.answer_seconds, self._reader_is_slow, self._lingering.get_write_buffer_size()
        )

    def _reader_is_slow(self, before: int) -> None:
        """Whoever has read less than the pace demands is cut off, unless nothing more is left."""
        read = before - self._lingering.get_write_buffer_size()
        if read < min(before, SLOWEST_READ_BYTES_PER_SECOND * self.limits.answer_seconds):
            self._cut("unread")
        else:
            self._watch_reader()

    def _look_when_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _answers(self) -> bool:
        """Whether a request is being answered on the slow path."""
        return self.cycle is not None and not self.cycle.response_complete

    def _take(self, size: int) -> None:
        """Note that so many bytes more are held; of an upload, which goes to a file, no more than of a body."""
        if self._taken < self.limits.body_bytes + READ_BYTES:
            self._taken += size
            self.room.used += size

    def _take_or_refuse(self, size: int) -> None:
        """The same for what a caller could hold back.

        Raises:
            Overloaded: all connections together hold too much.
        """
        self._take(size)
        if self.room.is_over and self._taken > SMALL_BYTES:
            refusal = Overloaded("the requests that are being received are too large together; send it again soon")
            self._refuse(refusal)
            raise refusal

    def _release(self) -> None:
        self.room.used -= self._taken
        self._taken = 0

    def _time_stage(self) -> None:
        """Begin the time of what a request still owes, or end it."""
        if self._stage is not self._timed or not self._stage:
            self._stop_timer()
            self._timed, self._begun = self._stage, self.loop.time()
            if self._stage:
                self._set_timer(self._patience)

    @property
    def _patience(self) -> float:
        return self.limits.header_seconds if self._stage is Stage.HEAD else self.limits.body_seconds

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
            if self._lingering.has_input():
                self._set_timer(SOON_SECONDS)
            else:
                self.transport.close()
        elif self._stage is Stage.HEAD:
            self._refuse(RequestTimedOut(f"the headers must arrive within {self.limits.header_seconds:g} s"))
        else:
            self._body_is_slow()

    def _body_is_slow(self) -> None:
        allowed = self.limits.body_seconds + self._content / SLOWEST_BYTES_PER_SECOND
        left = self._begun + allowed - self.loop.time()
        if left > 0:
            self._set_timer(max(left, 0.1))
        else:
            self._refuse(RequestTimedOut(f"the body must arrive within {self.limits.body_seconds:g} s"))

    def _owes_input(self) -> bool:
        if self._refusal is not None:
            return True
        return self.cycle is not None and self.cycle.response_complete and self._stage is not Stage.NOTHING

    def _refuse(self, refusal: PlatformError) -> None:
        """Read no more of this connection, answer what can be answered, and close it."""
        if self._refusal is not None:
            return
        self._refusal = refusal
        self._stop_timer()
        cycle, is_begun = self.cycle, self._stage is Stage.BODY
        if cycle is None or cycle.response_complete:
            if cycle is not None and is_begun:
                self.transport.close()  # it has its answer, and only owed the rest of its body
            else:
                self._answer(refusal)
        elif not is_begun or self.pipeline:
            if is_begun:
                self.pipeline.popleft()  # this very request, which waits behind others
            self.pipeline.appendleft((self._refusing(refusal), self.app))
        elif not cycle.response_started:
            # The application that waits for the rest sees a caller that left; the answer is ours.
            context_of(cycle.scope).is_replaced = True  # type: ignore[arg-type]
            cycle.disconnected = True
            cycle.message_event.set()
            self._answer(refusal)
        else:
            cycle.keep_alive = False  # an answer is being written; the connection ends with it

    def _answer(self, refusal: PlatformError) -> None:
        self._unset_keepalive_if_required()
        self._start_asgi_task(self._refusing(refusal), self.app)

    def _refusing(self, refusal: PlatformError) -> RequestResponseCycle:
        nowhere: Any = {
            "type": "http", "asgi": {"version": self.asgi_version, "spec_version": "2.3"}, "http_version": "1.1",
            "server": self.server, "client": self.client, "scheme": self.scheme, "root_path": self.root_path,
            "headers": list(self.headers), "state": {}, "method": "", "path": "", "raw_path": b"",
            "query_string": b"", KEY: RequestContext(refusal=refusal),
        }  # fmt: skip
        self.cycle = RequestResponseCycle(
            scope=nowhere, transport=self.transport, flow=self.flow, logger=self.logger,
            access_logger=self.access_logger, access_log=False, default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(), expect_100_continue=False, keep_alive=False,
            on_response=self.on_response_complete,
        )  # fmt: skip
        return self.cycle
