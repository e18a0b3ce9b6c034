"""One prediction of iris, part by part and in one process: processor time of the thread, medians in microseconds.

Beside each part stands its limit: what the least that it cannot do without takes, called in the same loop.
"""

import asyncio
import hashlib
import hmac
import math
import statistics
import time
from collections.abc import Callable, Iterator
from operator import mul
from typing import Any

import httptools
import msgspec
import orjson
import uvloop
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ai_platform.api.app import Application
from ai_platform.api.draining import Lifecycle
from ai_platform.api.http.auth import identify
from ai_platform.api.http.request_head import RequestHead
from ai_platform.api.prediction.paths import PredictionPath
from ai_platform.api.server.protocol import bounded
from ai_platform.predictions.ids import new_text
from ai_platform.serving.service import Serving
from ai_platform.telemetry import configure_logging
from benchmarks.harness.constant import constant
from benchmarks.harness.figures import parts_table
from benchmarks.harness.in_process import application, head, headers, median_micros, target_of
from benchmarks.harness.scenario import Bench, Figures, Scenario
from benchmarks.harness.site import Site

REPEATS, CALLS = 201, 100
Part = tuple[str, Callable[[], Any], str, Callable[[], Any] | None]


def run(bench: Bench) -> Figures:
    """Microseconds of each part and of its limit."""
    configure_logging(bench.site.settings.log.model_copy(update={"level": "error"}), "benchmark")
    return uvloop.run(_measured(bench, 11 if bench.options.quick else REPEATS))


async def _measured(bench: Bench, repeats: int) -> Figures:
    site = bench.site
    async with application(site.settings) as made:
        found = []
        for name, part, least, limit in parts(site, made):
            bench.begins(name)
            limit_us = None if limit is None else round(median_micros(limit, CALLS, repeats), 2)
            us = round(median_micros(part, CALLS, repeats), 2)
            found.append({"name": name, "us": us, "limit": least, "limit_us": limit_us})
        bench.begins("a whole request")
        ours = _connected(bounded(site.settings.limits, made.fast_path, Lifecycle()), made.app)
        whole = {
            "name": "**a whole request**, from the bytes of the request to the bytes of the answer",
            "us": round(await _whole(ours, site, repeats), 2),
            "limit": "bare ASGI: uvicorn with a function that returns constant bytes",
            "limit_us": round(await _whole(_connected(HttpToolsProtocol, constant(bytes(229))), site, repeats), 2),
        }
    return {"repeats": repeats, "parts": [*found, whole]}


def parts(site: Site, made: Application) -> Iterator[Part]:
    """What is measured, in the order of a request: name, the platform's own function, the limit and what that is."""
    fast_path, target = made.fast_path, target_of(made)
    services: Any = made.services
    body, key = site.models["iris"].body(1).encode(), site.key.encode()
    given = headers(site.key, body)
    chunk = _request(site)
    ours = head(made, given)
    prepared = services.directory.current("iris")
    instances = prepared.decoder.decode(body)
    outputs = prepared.served.loaded.predict(instances.rows)
    encoded = prepared.encoder.encode(outputs, single=True)
    weights = [[float(number) for number in instances.rows[0]]] * 3
    plain = msgspec.json.Decoder(dict[str, list[float]])
    number, more = new_text(), [(b"date", b"Wed, 25 Nov 2026 12:00:00 GMT")]
    digest = hashlib.sha256(key).digest()
    reading = _connected(bounded(site.settings.limits, _Mute(target), Lifecycle()), made.app)  # type: ignore[arg-type]

    yield ("read HTTP", lambda: reading.data_received(chunk), "httptools, with callbacks that do nothing",
           lambda: httptools.HttpRequestParser(_Deaf()).feed_data(chunk))  # fmt: skip
    yield "put the head in order", lambda: head(made, given), "a dict of it", lambda: dict(given)
    yield ("who calls, from memory", lambda: services.keyring.authenticate(key), "SHA-256 and a comparison",
           lambda: hmac.compare_digest(hashlib.sha256(key).digest(), digest))  # fmt: skip
    yield "let it in: key, scope, limits", lambda: _let_in(services.serving, ours, target), "", None
    yield ("find the version", lambda: services.serving.held(target.target), "a look-up",
           lambda: services.directory.is_complete)  # fmt: skip
    yield ("decode and check the body", lambda: prepared.decoder.decode(body), "msgspec, unchecked",
           lambda: plain.decode(body))  # fmt: skip
    yield ("predict", lambda: prepared.served.loaded.predict(instances.rows), "12 products, 3 exponentials",
           lambda: [math.exp(-sum(map(mul, instances.rows[0], each))) for each in weights])  # fmt: skip
    yield ("encode the answer", lambda: prepared.encoder.encode(outputs, single=True), "orjson, the numbers alone",
           lambda: orjson.dumps(outputs.probabilities[0]))  # fmt: skip
    yield "make an id", new_text, "ask the clock", time.time_ns
    yield "count it, twice", lambda: (prepared.tally.add(1e-5), prepared.tally.add(1e-4)), "", None
    yield ("write the answer", lambda: fast_path.written(ours, number, encoded, more), "join its parts",
           lambda: b"".join([b"HTTP/1.1 200 OK\r\n", encoded]))  # fmt: skip
    yield "**all but reading HTTP**", lambda: fast_path.answer(target, head(made, given), body, more), "", None


def _let_in(serving: Serving, ours: RequestHead, path: PredictionPath) -> None:
    identify(serving.authorizer, ours)
    serving.authorize(ours.caller, path.target)


class _Deaf:
    """Callbacks of a parser, of which there are none."""


class _Mute:
    """Answers nothing, so that what is left is reading."""

    def __init__(self, target: PredictionPath) -> None:
        self.targets = {b"/predict/": target}

    def answer(self, *_given: Any) -> bytes:
        return b""


class _Nowhere(asyncio.Transport):
    """A transport without another end."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 40_000)}.get(name, default)

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def close(self) -> None: ...

    def resume_reading(self) -> None: ...


def _connected(protocol: type[HttpToolsProtocol], app: Any) -> HttpToolsProtocol:
    config = Config(app, log_config=None, access_log=False)
    config.load()
    made = protocol(config=config, server_state=ServerState(), app_state={})
    made.connection_made(_Nowhere())
    return made


def _request(site: Site) -> bytes:
    body = site.models["iris"].body(1).encode()
    lines = b"".join(b"%b: %b\r\n" % header for header in headers(site.key, body))
    return b"POST /predict/ HTTP/1.1\r\n" + lines + b"\r\n" + body


async def _whole(protocol: HttpToolsProtocol, site: Site, repeats: int) -> float:
    """Microseconds of a request through a protocol; one that is answered by a task has its turn of the loop."""
    request = _request(site)
    found = []
    for _ in range(repeats + 5):
        begun = time.thread_time()
        for _ in range(CALLS):
            protocol.data_received(request)
            while protocol.cycle is not None and not protocol.cycle.response_complete:  # noqa: ASYNC110
                await asyncio.sleep(0)
        found.append((time.thread_time() - begun) / CALLS * 1e6)
    return statistics.median(found[5:])


def write(figures: Figures) -> dict[str, Any]:
    """Part by part."""
    return {"table": parts_table("Part | µs | Limit, µs | What the limit is", figures["parts"])}


SCENARIO = Scenario("profile", "The profile of one prediction", run, write, "profile", rounds=1, wrk=False)
