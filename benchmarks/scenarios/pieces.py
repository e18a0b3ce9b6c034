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

from ai_platform.api.app import Application, create
from ai_platform.api.draining import Life
from ai_platform.api.head import Head
from ai_platform.api.lane import Target
from ai_platform.api.protocol import bounded
from ai_platform.predictions.identity import new_text
from ai_platform.telemetry import configure_logging
from benchmarks.harness.results import Options
from benchmarks.harness.site import Site

MODELS = ("iris",)
REPEATS, CALLS = 201, 100
READY_SECONDS = 30

Part = tuple[str, Callable[[], Any], str, Callable[[], Any] | None]


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """Microseconds of each part and of its limit."""
    configure_logging(site.settings.log.model_copy(update={"level": "error"}), "benchmark")
    repeats = 11 if options.quick else REPEATS
    return uvloop.run(_measured(site, repeats, advance))


def steps(_options: Options) -> int:
    """How often `run` advances."""
    return 15


async def _measured(site: Site, repeats: int, advance: Callable[[str], None]) -> dict[str, Any]:
    application = create(site.settings)
    async with application.routes.router.lifespan_context(application.routes):
        services = application.routes.state.services
        async with asyncio.timeout(READY_SECONDS):
            while not (services.directory.summary() and services.keyring.is_fresh()):  # noqa: ASYNC110  # threads do it
                await asyncio.sleep(0.1)
        found = []
        for name, part, least, limit in parts(site, application):
            advance(name)
            us, limit_us = _micros(part, repeats), None if limit is None else _micros(limit, repeats)
            found.append({"name": name, "us": us, "limit": least, "limit_us": limit_us})
        advance("a whole request")
        ours = _connected(bounded(site.settings.limits, application.express, Life()), application.app)
        platform = await _whole(ours, site, repeats)
        advance("bare ASGI")
        reference = await _whole(_connected(HttpToolsProtocol, _bare), site, repeats)
    whole = {
        "name": "**a whole request**, from the bytes of the request to the bytes of the answer", "us": platform,
        "limit": "bare ASGI: uvicorn with a function that returns constant bytes", "limit_us": reference,
    }  # fmt: skip
    return {"repeats": repeats, "parts": [*found, whole]}


def parts(site: Site, application: Application) -> Iterator[Part]:
    """What is measured, in the order of a request: name, the platform's own function, the limit and what that is."""
    services, express = application.routes.state.services, application.express
    target = express.targets[b"/predict/"]
    body, key = site.models["iris"].body(1).encode(), site.key.encode()
    headers = _headers(site)
    chunk = _request(site)
    ours = Head("POST", target.route, b"/predict/", b"", headers)
    prepared = services.directory.current("iris")
    instances = prepared.decoder.decode(body)
    outputs = prepared.served.loaded.predict(instances.rows)
    encoded = prepared.encoder.encode(outputs, single=True)
    weights = [[float(number) for number in instances.rows[0]]] * 3
    plain = msgspec.json.Decoder(dict[str, list[float]])
    number, given = new_text(), [(b"date", b"Wed, 25 Nov 2026 12:00:00 GMT")]
    digest = hashlib.sha256(key).digest()

    reading = _connected(bounded(site.settings.limits, _Mute(target), Life()), application.app)  # type: ignore[arg-type]
    yield (
        "read HTTP",
        lambda: reading.data_received(chunk),
        "httptools, with callbacks that do nothing",
        lambda: httptools.HttpRequestParser(_Deaf()).feed_data(chunk),
    )
    yield (
        "put the head in order",
        lambda: Head("POST", target.route, b"/predict/", b"", headers),
        "a dict of it",
        (lambda: dict(headers)),
    )
    yield (
        "who calls, from memory",
        lambda: services.keyring.authenticate(key),
        "SHA-256 and a comparison",
        (lambda: hmac.compare_digest(hashlib.sha256(key).digest(), digest)),
    )
    yield "let it in: key, scope, limits", lambda: application.lane.enter(target, ours), "", None
    yield (
        "find the version",
        lambda: application.lane.resolve(target, ours),
        "a look-up",
        (lambda: services.directory.is_complete),
    )
    yield (
        "decode and check the body",
        lambda: prepared.decoder.decode(body),
        "msgspec, unchecked",
        (lambda: plain.decode(body)),
    )
    yield (
        "predict",
        lambda: prepared.served.loaded.predict(instances.rows),
        "12 products, 3 exponentials",
        (lambda: [math.exp(-sum(map(mul, instances.rows[0], each))) for each in weights]),
    )
    yield (
        "encode the answer",
        lambda: prepared.encoder.encode(outputs, single=True),
        "orjson, the numbers alone",
        (lambda: orjson.dumps(outputs.probabilities[0])),
    )
    yield "make an id", new_text, "ask the clock", time.time_ns
    yield "count it, twice", lambda: (prepared.tally.add(1e-5), prepared.tally.add(1e-4)), "", None
    yield (
        "write the answer",
        lambda: express.written(ours, number, encoded, given),
        "join its parts",
        (lambda: b"".join([b"HTTP/1.1 200 OK\r\n", encoded])),
    )
    yield (
        "**all but reading HTTP**",
        (lambda: express.answer(target, Head("POST", target.route, b"/predict/", b"", headers), body, given)),
        "",
        None,
    )


class _Deaf:
    """Callbacks of a parser, of which there are none."""


class _Mute:
    """An express door that answers nothing, so that what is left is reading."""

    def __init__(self, target: Target) -> None:
        self.targets = {b"/predict/": target}

    def answer(self, *_given: Any) -> bytes:
        return b""


class _Nowhere(asyncio.Transport):
    """A transport without another end."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 40_000)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    """As the reference of the throughput: reads the body, and answers constant bytes."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"229")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(229)})


def _connected(protocol: type[HttpToolsProtocol], app: Any) -> HttpToolsProtocol:
    config = Config(app, log_config=None, access_log=False)
    config.load()
    made = protocol(config=config, server_state=ServerState(), app_state={})
    made.connection_made(_Nowhere())
    return made


def _headers(site: Site) -> list[tuple[bytes, bytes]]:
    size = len(site.models["iris"].body(1))
    return [
        (b"host", b"127.0.0.1"), (b"content-type", b"application/json"),
        (b"authorization", b"Bearer " + site.key.encode()), (b"content-length", b"%d" % size),
    ]  # fmt: skip


def _request(site: Site) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % header for header in _headers(site))
    return b"POST /predict/ HTTP/1.1\r\n" + lines + b"\r\n" + site.models["iris"].body(1).encode()


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


def _micros(part: Callable[[], Any], repeats: int) -> float:
    """Median over the repeats; the first few, which warm up, are not counted."""
    found = []
    for _ in range(repeats + 5):
        begun = time.thread_time()
        for _ in range(CALLS):
            part()
        found.append((time.thread_time() - begun) / CALLS * 1e6)
    return statistics.median(found[5:])
