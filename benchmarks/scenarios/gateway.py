"""What the gateway costs, after `docker compose up -d --build --wait`.

The same requests in one run, in interleaved rounds: to a replica's own address, to the gateway's address, and to the
port that the gateway publishes on loopback (where Docker's forwarding is added). p50 with one connection, throughput
with 32; medians over the rounds.
"""

import statistics
import subprocess
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.figures import ratios, spread, table, whole
from benchmarks.harness.scenario import Bench, Figures, Scenario
from benchmarks.load.generators import measured
from benchmarks.load.plan import Call, Plan

PORT = 8000
CALL = Call("iris", "/predict/", '{"features": [5.1, 3.5, 1.4, 0.2]}')
CONNECTIONS = 32
DIRECT = "a replica directly"


def docker(*words: str) -> str:
    """What a docker command prints."""
    done = subprocess.run(["docker", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def inner_address(service: str) -> str:
    """The address of a service's one container on the inner network.

    Raises:
        SystemExit: it has none, or several.
    """
    try:
        containers = docker("compose", "ps", "--quiet", service).split()
    except (OSError, subprocess.SubprocessError):
        containers = []
    if len(containers) != 1:
        raise SystemExit(f"{len(containers)} containers of {service} run; start the stack with one of each")
    form = '{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.IPAddress}}{{"\\n"}}{{end}}'
    networks = dict(line.split() for line in docker("inspect", "-f", form, containers[0]).splitlines() if line.strip())
    return next(address for name, address in networks.items() if name.endswith("_back"))


def run(bench: Bench) -> Figures:
    """What each way showed, and what it showed beside the direct way in the same round."""
    targets = {DIRECT: inner_address("api"), "the gateway": inner_address("gateway"),
               "the gateway through its published port": "127.0.0.1"}  # fmt: skip
    p50s: dict[str, list[float]] = {name: [] for name in targets}
    rates: dict[str, list[float]] = {name: [] for name in targets}
    for host in targets.values():
        _measured(host, CONNECTIONS, 1)  # warms up, not counted
    for _, name in bench.in_turn(list(targets)):
        p50s[name].append(_measured(targets[name], 1, bench.options.seconds)["calls"]["iris"]["p50_ms"])
        rates[name].append(_measured(targets[name], CONNECTIONS, bench.options.seconds)["per_second"])
    return {
        "nginx": docker("compose", "exec", "-T", "gateway", "sh", "-c", "nginx -v 2>&1").rpartition("/")[2],
        "docker": docker("version", "--format", "{{.Server.Version}}"),
        "ways": {
            name: {
                "p50_ms": spread(p50s[name]),
                "more_ms": statistics.median(one - other for one, other in zip(p50s[name], p50s[DIRECT], strict=True)),
                "per_second": spread(rates[name]),
                "share": statistics.median(ratios(rates[name], rates[DIRECT])),
            }
            for name in targets
        },
    }


def _measured(host: str, connections: int, seconds: float) -> Figures:
    seen = measured(Plan(PORT, "", [CALL], connections, seconds, host=host))
    if seen["failures"]:
        raise RuntimeError(f"{host}: {seen['failures']}")
    return seen


def write(figures: Figures) -> dict[str, Any]:
    """The three ways."""
    rows = []
    for name, way in figures["ways"].items():
        p50, rate = way["p50_ms"], way["per_second"]
        latency = f"{p50['median']:.3f} ({p50['low']:.3f} to {p50['high']:.3f})"
        rows.append([name, latency, f"{way['more_ms']:+.3f}", whole(rate), f"{way['share']:.0%}"])
    return {"table": table("Requests go to | p50, ms | more than direct, ms | requests/s | of direct", rows)}


SCENARIO = Scenario(
    "gateway", "What the gateway costs", run, write, "gateway", models=(), servers="", rounds=7, seconds=3
)
