"""One prediction of iris, part by part and in one process: processor time of the thread, medians in microseconds.

A part is a line of `parts`: what it is called on the page, and a call of the platform's own function.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.bench.results import Options
from benchmarks.bench.servers_under_test import Site

from ai_platform.access.keyring import Keyring
from ai_platform.predictions.identity import new_id
from ai_platform.predictions.versions import VersionSource
from ai_platform.telemetry import configure_logging

MODELS = ("iris",)
REPEATS, CALLS = 201, 200


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """Microseconds of each part."""
    quiet = site.settings.log.model_copy(update={"level": "warning"})
    configure_logging(quiet, "benchmark")
    repeats = 11 if options.quick else REPEATS
    keyring, source = Keyring(site.settings), VersionSource(site.settings, "benchmark")
    keyring.start()
    try:
        keyring.refresh()
        found = []
        for name, part in parts(site, keyring, source).items():
            advance(name)
            found.append({"name": name, "us": _micros(part, repeats)})
    finally:
        keyring.stop()
        source.close()
    return {"repeats": repeats, "parts": found}


def steps(_options: Options) -> int:
    """How often `run` advances."""
    return 6


def parts(site: Site, keyring: Keyring, source: VersionSource) -> dict[str, Callable[[], Any]]:
    """What is measured, in the order of a request."""
    prepared = source.load("iris", 1)
    iris = site.models["iris"]
    one, many = iris.body(1).encode(), iris.body(64).encode()
    decoder, model = prepared.decoder, prepared.served.loaded
    rows, rows_64 = decoder.decode(one).rows, decoder.decode(many).rows
    key = site.key.encode()
    return {
        "authenticate a key, from memory": lambda: keyring.authenticate(key),
        "decode and check one row": lambda: decoder.decode(one),
        "the model, one row": lambda: model.predict(rows),
        "decode and check 64 rows": lambda: decoder.decode(many),
        "the model, 64 rows": lambda: model.predict(rows_64),
        "a new id": new_id,
    }


def _micros(part: Callable[[], Any], repeats: int) -> float:
    """Median over the repeats; the first few, which warm up, are not counted."""
    found = []
    for _ in range(repeats + 5):
        begun = time.thread_time()
        for _ in range(CALLS):
            part()
        found.append((time.thread_time() - begun) / CALLS * 1e6)
    return statistics.median(found[5:])
