"""The load generators count what happened: against a server whose every answer is known."""

import asyncio
import random
from typing import Any

import pytest
from benchmarks.load import closed_loop, open_loop
from benchmarks.load.plan import NUMBERED, Call, Phase, Plan, Requests, arrivals

from bench.closing_server import answer, closing_server, server_of
from harness import free_port

OK = answer("200 OK")
CALL = Call("health", "/health/live")


def closed(answers: list[bytes], seconds: float = 0.1) -> dict[str, Any]:
    async def measure() -> dict[str, Any]:
        async with closing_server(answers) as port:
            return await closed_loop.run(Plan(port, "", [CALL], connections=1, seconds=seconds))

    return asyncio.run(measure())


def test_a_good_server_has_no_failures() -> None:
    seen = closed([OK])
    assert seen["failures"] == {}
    assert seen["right"] == seen["requests"] > 0


def test_connection_close_is_no_failure_and_another_is_opened() -> None:
    seen = closed([answer("200 OK", more="Connection: close\r\n")])
    assert seen["failures"] == {}
    assert seen["right"] > 1


def test_a_reset_in_place_of_an_answer_is_counted_and_not_tried_again() -> None:
    seen = closed([OK, b"", OK])
    assert seen["failures"] == {"health: lost": 1}
    assert seen["right"] == seen["requests"] - 1


def test_an_answer_that_was_not_expected_is_a_failure_with_its_code() -> None:
    seen = closed([OK, answer("503 Service Unavailable", b'{"code":"overloaded"}'), OK])
    assert seen["failures"] == {"health: 503": 1}
    assert seen["codes"] == {"overloaded": 1}


def test_an_answer_in_pieces_is_one_answer() -> None:
    seen = closed([answer("200 OK", b"x" * 300_000)])
    assert seen["failures"] == {}
    assert seen["right"] == seen["requests"] > 0


def test_a_port_that_nobody_listens_on_refuses() -> None:
    plan = Plan(free_port(), "", [CALL], connections=1, seconds=0.05)
    seen = asyncio.run(closed_loop.run(plan))
    assert set(seen["failures"]) == {"health: refused"}
    assert seen["right"] == 0


def test_an_open_loop_sends_what_was_due_and_counts_each_once() -> None:
    phases = [Phase(400.0, 0.2), Phase(200.0, 0.1)]

    async def measure() -> dict[str, Any]:
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

    async def measure() -> dict[str, Any]:
        async with server_of(slowly) as port:
            return await open_loop.run(Plan(port, "", [CALL], connections=1, phases=[Phase(200.0, 0.1)], seed=3))

    (seen,) = asyncio.run(measure())["phases"]
    last = seen["requests"] * 0.02 - 0.1
    assert seen["calls"]["health"]["max_ms"] >= last * 1000


def test_arrivals_come_at_their_rate_and_are_the_same_for_the_same_seed() -> None:
    times = list(arrivals(1_000.0, 20.0, random.Random(1)))
    assert times == sorted(times)
    assert times == list(arrivals(1_000.0, 20.0, random.Random(1)))
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert 0 < times[0] < times[-1] < 20


def test_numbered_requests_are_all_different_and_as_long_as_they_say() -> None:
    requests = Requests(Call("slow", "/", f'{{"features": [1.{NUMBERED}]}}'), Plan(1, "", []))
    made = {requests.next() for _ in range(100)}
    assert len(made) == 100
    for request in made:
        head, body = request.split(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
