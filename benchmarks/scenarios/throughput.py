"""Requests a second on one core: the platform beside bare ASGI, a FastAPI route and the naive design, in turn."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.measures import cpu_seconds, pss_mb
from benchmarks.harness.results import Options
from benchmarks.harness.site import Server, Site, reference
from benchmarks.load.generators import measure
from benchmarks.load.plan import Call, Plan

MODELS = ("iris", "forest", "boosting", "pipeline", "slow")
WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the table.

    Attributes:
        name: of the line, and of its figures.
        server: which process answers.
        path: where.
        body: what is sent.
        rows: how many instances that is.
        connections: of the load.
    """

    name: str
    server: str
    path: str
    body: str
    rows: int = 1
    connections: int = 16


def subjects(site: Site) -> list[Subject]:
    """What is measured, in the order of a round; each platform's line stands near what it is compared with."""
    iris, forest = site.models["iris"], site.models["forest"]
    default, one = "/predict/", iris.body(1)
    return [
        Subject("bare ASGI", "bare", default, one),
        Subject("platform, iris", "platform", default, one),
        Subject("FastAPI no-op", "noop", default, one),
        Subject("naive, iris", "naive", "/iris/one", one),
        Subject("bare ASGI, 64 connections", "bare", default, one, connections=64),
        Subject("platform, iris, 64 connections", "platform", default, one, connections=64),
        Subject("naive, iris, 64 rows", "naive", "/iris/many", iris.body(64), 64),
        Subject("platform, iris, 64 rows", "platform", default, iris.body(64), 64),
        Subject("platform, iris, 1,024 rows", "platform", default, iris.body(1024), 1024),
        Subject("naive, forest", "naive", "/forest/one", forest.body(1)),
        Subject("platform, forest", "platform", forest.path, forest.body(1)),
        Subject("naive, forest, 64 rows", "naive", "/forest/many", forest.body(64), 64),
        Subject("platform, forest, 64 rows", "platform", forest.path, forest.body(64), 64),
        *(
            Subject(f"platform, {name}", "platform", site.models[name].path, site.models[name].body(1))
            for name in ("boosting", "pipeline", "slow")
        ),
    ]


def run(site: Site, options: Options, advance: Callable[[str], None]) -> dict[str, Any]:
    """Figures by subject, each a list over the rounds."""
    with servers(site) as up:
        lines = subjects(site)
        seen: dict[str, list[dict[str, Any]]] = {subject.name: [] for subject in lines}
        for number in range(options.rounds):
            # Nobody's first place is always the same one's.
            first = number * 3 % len(lines)
            for subject in lines[first:] + lines[:first]:
                advance(subject.name)
                seen[subject.name].append(_measured(subject, up[subject.server], site.key, options))
    return {
        "placement": placement(SERVER),
        "subjects": {
            subject.name: {"rows": subject.rows, "connections": subject.connections, "rounds": seen[subject.name]}
            for subject in lines
        },
        "models": {model.name: {"what": model.what, "form": site.forms[model.name]} for model in site.models.values()},
    }


def steps(options: Options) -> int:
    """How often `run` advances."""
    return options.rounds * 16


@contextlib.contextmanager
def servers(site: Site) -> Iterator[dict[str, Server]]:
    """The platform and the references, each a process on the server's core; they wait while another is measured."""
    with site.api(SERVER) as platform, contextlib.ExitStack() as stack:
        answer = site.ask(f"http://127.0.0.1:{platform.port}", site.models["iris"])
        pickles = {name: site.models[name].pickle(site.folder) for name in ("iris", "forest")}
        up = {"platform": platform}
        for name in ("bare", "noop", "naive"):
            up[name] = stack.enter_context(reference(name, SERVER, answer, pickles, site.folder))
        yield up


def _measured(subject: Subject, server: Server, key: str, options: Options) -> dict[str, Any]:
    call = Call(subject.name, subject.path, subject.body)
    if not options.quick:
        measure(Plan(server.port, key, [call], subject.connections, WARM_SECONDS))
    spent = cpu_seconds(server.pid)
    seen = measure(Plan(server.port, key, [call], subject.connections, options.seconds))
    spent = cpu_seconds(server.pid) - spent
    answered = seen["calls"].get(subject.name, {"p50_ms": 0.0, "p99_ms": 0.0})
    return {
        "a_second": seen["a_second"],
        "p50_ms": answered["p50_ms"],
        "p99_ms": answered["p99_ms"],
        "failures": seen["failures"],
        "cpu_us": spent / max(1, seen["requests"]) * 1e6,
        "pss_mb": pss_mb(server.pid),
    }
