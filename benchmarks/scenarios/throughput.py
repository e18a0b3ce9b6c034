"""Requests per second on one core: the platform beside bare ASGI, a FastAPI route and the naive design, in turn."""

import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.harness import plots
from benchmarks.harness.cores import SERVER, placement
from benchmarks.harness.figures import quotient, ratios, series, shown, spread, table
from benchmarks.harness.measures import cpu_seconds, pss_mb
from benchmarks.harness.models import Model
from benchmarks.harness.scenario import Bench, Figures, Scenario, Target
from benchmarks.harness.site import Server, Site, reference
from benchmarks.load.generators import measured
from benchmarks.load.plan import Call, Plan

WARM_SECONDS = 1.0
CONNECTIONS = 16
# Servers that answer the same whatever they are asked for.
CONSTANT = {"bare": "bare ASGI", "noop": "FastAPI no-op"}
# Computed beside the event loop, where 16 callers at a time can be more than may wait.
MAY_REFUSE = {"platform, iris, 1,024 rows", "platform, slow"}


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the table.

    Attributes:
        server: which process answers.
        model: what it is asked for.
        rows: how many instances a request has.
        connections: of the load.
    """

    server: str
    model: str = "iris"
    rows: int = 1
    connections: int = CONNECTIONS

    @property
    def name(self) -> str:
        """Of the line, and of its figures."""
        who = CONSTANT.get(self.server) or f"{self.server}, {self.model}"
        many = f", {self.connections} connections" if self.connections != CONNECTIONS else ""
        return f"{who}, {self.rows:,} rows" if self.rows > 1 else who + many

    def call(self, model: Model) -> Call:
        """Its requests."""
        path = f"/{self.model}/{'one' if self.rows == 1 else 'many'}" if self.server == "naive" else model.path
        return Call(self.name, path, model.body(self.rows))


# In the order of a round; each platform's line stands near what it is compared with.
SUBJECTS = (
    Subject("bare"), Subject("platform"), Subject("noop"), Subject("naive"),
    Subject("bare", connections=64), Subject("platform", connections=64),
    Subject("naive", rows=64), Subject("platform", rows=64), Subject("platform", rows=1024),
    Subject("naive", "forest"), Subject("platform", "forest"),
    Subject("naive", "forest", 64), Subject("platform", "forest", 64),
    Subject("platform", "boosting"), Subject("platform", "pipeline"), Subject("platform", "slow"),
)  # fmt: skip


@contextlib.contextmanager
def servers(site: Site) -> Iterator[dict[str, Server]]:
    """The platform and the references, each a process on the server's core; they wait while another is measured."""
    with site.api(SERVER) as platform, contextlib.ExitStack() as stack:
        answer = site.ask(platform, site.models["iris"])
        pickles = {name: site.models[name].pickle(site.folder) for name in ("iris", "forest")}
        up = {"platform": platform}
        for name in ("bare", "noop", "naive"):
            up[name] = stack.enter_context(reference(name, SERVER, answer, pickles, site.folder))
        yield up


def run(bench: Bench) -> Figures:
    """Figures by subject, and the ratios that targets are set for."""
    site = bench.site
    lines = {subject.name: subject for subject in SUBJECTS}
    with servers(site) as up:
        seen = bench.in_turn(list(lines), lambda name: _measured(lines[name], up[lines[name].server], bench))
    rates = series(seen, "per_second")
    bare = {16: rates["bare ASGI"], 64: rates["bare ASGI, 64 connections"]}
    pairs = {
        "bare": ("platform, iris", "bare ASGI"),
        "naive": ("platform, iris", "naive, iris"),
        "forest": ("platform, forest", "naive, forest"),
        "rows": ("platform, iris, 64 rows", "naive, iris, 64 rows"),
    }
    tails = [quotient(each["p99_ms"], each["p50_ms"]) for each in seen["platform, iris, 64 connections"]]
    return {
        "placement": placement(SERVER),
        "subjects": {
            name: {
                "rows": line.rows,
                "connections": line.connections,
                "share": statistics.median(ratios(rates[name], bare[line.connections])),
                "per_second": spread(rates[name]),
                **{
                    figure: statistics.median(each[figure] for each in seen[name])
                    for figure in ("p50_ms", "p99_ms", "cpu_us", "pss_mb")
                },
                "failed": sum(each["failed"] for each in seen[name]),
            }
            for name, line in lines.items()
        },
        "ratios": {name: spread(ratios(rates[one], rates[other])) for name, (one, other) in pairs.items()}
        | {"tail": spread(tails)},
        "models": {
            name: {"what": model.what, "form": site.forms[name]}
            for name, model in site.models.items()
            if name in SCENARIO.models
        },
    }


def _measured(subject: Subject, server: Server, bench: Bench) -> Figures:
    call = subject.call(bench.site.models[subject.model])
    plan = Plan(server.port, bench.site.key, [call], subject.connections, bench.options.seconds)
    if not bench.options.quick:
        measured(replace(plan, seconds=WARM_SECONDS))
    spent = cpu_seconds(server.pid)
    seen = measured(plan)
    spent = cpu_seconds(server.pid) - spent
    latencies = seen["calls"].get(subject.name, {})
    return {
        "per_second": seen["per_second"],
        "p50_ms": latencies.get("p50_ms", 0.0),
        "p99_ms": latencies.get("p99_ms", 0.0),
        "failed": sum(seen["failures"].values()),
        "cpu_us": spent / max(1, seen["requests"]) * 1e6,
        "pss_mb": pss_mb(server.pid),
    }


def write(figures: Figures) -> dict[str, Any]:
    """The table of subjects, and what the models are."""
    rows = [
        (name, each["connections"], shown(each["per_second"], digits=0), each["share"],
         f"{each['per_second']['median'] * each['rows']:,.0f}", each["p50_ms"], each["p99_ms"],
         f"{each['cpu_us']:,.0f}", f"{each['pss_mb']:.0f}", each["failed"])
        for name, each in figures["subjects"].items()
    ]  # fmt: skip
    heads = "Subject | conn. | requests/s | of bare ASGI | rows/s | p50 ms | p99 ms | µs CPU/request | PSS MB | failed"
    served = (f"- **{name}**: {each['what']}; serves {each['form']}.\n" for name, each in figures["models"].items())
    return {"table": table(heads, rows), "served": "".join(served)}


def failed(figures: Figures) -> int:
    """Requests that did, of subjects that may not."""
    return sum(each["failed"] for name, each in figures["subjects"].items() if name not in MAY_REFUSE)


TARGETS = (
    Target("Iris, one row, 16 connections, beside bare ASGI", "at least 0.45 (aim 0.7)",
           lambda it: it["ratios"]["bare"], at_least=0.45),
    Target("The same beside the naive design", "at least 6 times", lambda it: it["ratios"]["naive"], at_least=6),
    Target("Iris, 64 connections, p99 beside p50", "at most 3 times", lambda it: it["ratios"]["tail"], at_most=3),
    Target("Forest of 100 trees, one row, beside the naive design", "at least 50 times",
           lambda it: it["ratios"]["forest"], at_least=50),
    Target("Iris, 64 rows a request, rows a second beside the naive design", "at least 5 times",
           lambda it: it["ratios"]["rows"], at_least=5),
    Target("Requests of this that failed, where the model is computed on the event loop", "none", failed, at_most=0),
)  # fmt: skip


def draw(figures: Figures) -> plots.Drawing:
    """Bars of requests per second, with the spread of the rounds."""
    rates = {
        name: each["per_second"] for name, each in reversed(figures["subjects"].items()) if each["connections"] == 16
    }
    figure, (axes,) = plots.drawing(9, 5)
    errors = [[each["median"] - each["low"] for each in rates.values()],
              [each["high"] - each["median"] for each in rates.values()]]  # fmt: skip
    bars = axes.barh(
        list(rates), [each["median"] for each in rates.values()], xerr=errors, error_kw={"lw": 0.8},
        color=[plots.OURS if name.startswith("platform") else plots.THEIRS for name in rates],
    )  # fmt: skip
    axes.bar_label(bars, labels=[f"{each['median']:,.0f}" for each in rates.values()], padding=4, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("requests per second on one core, 16 connections (logarithmic; higher is better)")
    return figure


SCENARIO = Scenario(
    "throughput", "Throughput on one core", run, write, "synchronous",
    models=("iris", "forest", "boosting", "pipeline", "slow"), targets=TARGETS, draw=draw,
)  # fmt: skip
