"""The load generators count what happened: against a server whose every answer is known."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.load import generators, open_loop, wrk
from benchmarks.load.plan import NUMBERED, Call, Phase, Plan, Requests, arrivals

from bench.closing_server import answer, closing_server, server_of
from harness import free_port

OK = answer("200 OK")
Figures = dict[str, Any]
CALL = Call("health", "/health/live")


def opened(answers: list[bytes], rate: float = 300.0) -> Figures:
    """What a single connection of an open loop saw."""

    async def measure() -> Figures:
        async with closing_server(answers) as port:
            return await open_loop.run(Plan(port, "", [CALL], connections=1, phases=[Phase(rate, 0.1)]))

    seen: Figures = asyncio.run(measure())["phases"][0]
    return seen


@pytest.fixture
def closed() -> Callable[[list[bytes]], Figures]:
    """What a single connection of wrk saw in a second."""
    if not wrk.is_installed():
        pytest.skip(wrk.HOW_TO_INSTALL)

    def run(answers: list[bytes]) -> Figures:
        async def measure() -> Figures:
            async with closing_server(answers) as port:
                return await asyncio.to_thread(generators.measured, Plan(port, "", [CALL], connections=1))

        return asyncio.run(measure())

    return run


def test_a_good_server_has_no_failures() -> None:
    seen = opened([OK])
    assert seen["failures"] == {}
    assert seen["right"] == seen["requests"] > 0


def test_connection_close_is_no_failure_and_another_is_opened() -> None:
    seen = opened([answer("200 OK", more="Connection: close\r\n")])
    assert seen["failures"] == {}
    assert seen["right"] > 1


def test_a_reset_in_place_of_an_answer_is_counted_and_not_tried_again() -> None:
    seen = opened([OK, b"", OK])
    assert seen["failures"] == {"health: lost": 1}
    assert seen["right"] == seen["requests"] - 1


def test_an_answer_that_was_not_expected_is_a_failure_with_its_code() -> None:
    seen = opened([OK, answer("503 Service Unavailable", b'{"code":"overloaded"}'), OK])
    assert seen["failures"] == {"health: 503": 1}
    assert seen["codes"] == {"overloaded": 1}


def test_an_answer_in_pieces_is_one_answer() -> None:
    seen = opened([answer("200 OK", b"x" * 300_000)], rate=100.0)
    assert seen["failures"] == {}
    assert seen["right"] == seen["requests"] > 0


def test_a_port_that_nobody_listens_on_refuses() -> None:
    plan = Plan(free_port(), "", [CALL], connections=1, phases=[Phase(200.0, 0.05)])
    (seen,) = asyncio.run(open_loop.run(plan))["phases"]
    assert set(seen["failures"]) == {"health: refused"}
    assert seen["right"] == 0


def test_wrk_counts_what_was_answered_what_was_refused_and_what_broke(closed: Callable[..., Figures]) -> None:
    seen = closed([answer("200 OK", more="Connection: close\r\n"), answer("503 Service Unavailable"), b"", OK])
    assert seen["failures"] == {"read": 1, "status": 1}
    assert seen["right"] == seen["requests"] - 2 > 0
    assert seen["calls"]["health"]["count"] == seen["right"]


def test_wrk_ends_after_as_many_answers_as_were_asked_for(closed: Callable[..., Figures]) -> None:
    async def measure() -> Figures:
        async with closing_server([OK]) as port:
            plan = Plan(port, "", [CALL], connections=1, seconds=20, requests=50)
            return await asyncio.to_thread(generators.measured, plan)

    assert 50 <= asyncio.run(measure())["requests"] <= 52


def test_wrk_sends_what_the_plan_says_in_its_shares(closed: Callable[..., Figures]) -> None:
    paths: Counter[str] = Counter()
    bodies: set[bytes] = set()

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            paths[head.split()[1].decode()] += 1
            length = re.search(rb"(?i)content-length: (\d+)", head)
            bodies.add(await reader.readexactly(int(length[1]) if length else 0))
            assert b"\r\nAuthorization: Bearer secret\r\n" in head
            writer.write(OK)

    async def measure() -> Figures:
        async with server_of(noted) as port:
            calls = [Call("one", "/one", f'{{"x": "\\"{NUMBERED}"}}', weight=3), Call("two", "/two")]
            plan = Plan(port, "secret", calls, connections=2, seconds=20, requests=400)
            return await asyncio.to_thread(generators.measured, plan)

    assert asyncio.run(measure())["failures"] == {}
    assert 0.6 < paths["/one"] / paths.total() < 0.9
    assert len(bodies) >= paths["/one"]
    assert {json.loads(body)["x"][0] for body in bodies if body} == {'"'}


def test_where_wrk_is_missing_an_open_loop_stands_in_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    async def measure() -> Figures:
        async with closing_server([OK]) as port:
            return await asyncio.to_thread(generators.measured, Plan(port, "", [CALL], seconds=0.3))

    seen = asyncio.run(measure())
    assert seen["failures"] == {}
    assert seen["right"] == seen["requests"] > 0
    assert generators.name().startswith("an open loop")


def test_an_open_loop_sends_what_was_due_and_counts_each_once() -> None:
    phases = [Phase(400.0, 0.2), Phase(200.0, 0.1)]

    async def measure() -> Figures:
        async with closing_server([OK, b"", OK]) as port:
            return await open_loop.run(Plan(port, "", [CALL], connections=8, phases=phases, seed=3))

    first, second = asyncio.run(measure())["phases"]
    draws = random.Random(3)
    due = len(list(arrivals(400.0, 0.2, draws)))
    assert first["requests"] == due
    assert first["failures"] == {"health: lost": 1}
    assert first["right"] == due - 1
    assert second["right"] == second["requests"] > 0


def test_an_open_loop_charges_a_request_for_its_wait_for_a_connection() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.02)
            writer.write(OK)

    async def measure() -> Figures:
        async with server_of(slowly) as port:
            return await open_loop.run(Plan(port, "", [CALL], connections=1, phases=[Phase(200.0, 0.1)], seed=3))

    (seen,) = asyncio.run(measure())["phases"]
    last = seen["requests"] * 0.02 - 0.1
    assert seen["calls"]["health"]["max_ms"] >= last * 1000


def test_an_open_loop_that_is_stopped_waits_for_what_is_under_way_and_no_longer() -> None:
    async def measure() -> Figures:
        stop = asyncio.Event()
        async with closing_server([OK]) as port:
            plan = Plan(port, "", [CALL], phases=[Phase(500.0, 60.0), Phase(500.0, 60.0)])
            asyncio.get_running_loop().call_later(0.1, stop.set)
            return await open_loop.run(plan, stop)

    first, second = asyncio.run(measure())["phases"]
    assert first["right"] == first["requests"] > 0
    assert second["failures"] == {}


def test_arrivals_come_at_their_rate_and_are_the_same_for_the_same_seed() -> None:
    times = list(arrivals(1_000.0, 20.0, random.Random(1)))
    assert times == sorted(times)
    assert times == list(arrivals(1_000.0, 20.0, random.Random(1)))
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert 0 < times[0] < times[-1] < 20


def test_numbered_requests_are_all_different_and_as_long_as_they_say() -> None:
    requests = Requests(Call("slow", "/", f'{{"features": [1.{NUMBERED}]}}'), "")
    made = {requests.next() for _ in range(100)}
    assert len(made) == 100
    for request in made:
        head, body = request.split(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
