"""What the gateway costs, after `docker compose up -d --build --wait`.

The same requests in one run, in interleaved rounds: to a replica's own address, to the gateway's address, and to the
port that the gateway publishes on loopback (where Docker's forwarding is added). p50 with one connection, throughput
with 32; medians over the rounds.
"""

import statistics
import subprocess
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.figures import differences, ratios, series, shown, spread, table
from benchmarks.harness.models import IRIS
from benchmarks.harness.scenario import Bench, Figures, Scenario
from benchmarks.load.generators import answered
from benchmarks.load.plan import Plan

PORT = 8000
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
    hosts = {DIRECT: inner_address("api"), "the gateway": inner_address("gateway"),
             "the gateway through its published port": "127.0.0.1"}  # fmt: skip

    def seen(name: str, connections: int, seconds: float) -> Figures:
        return answered(Plan(PORT, "", [IRIS], connections, seconds, host=hosts[name]))

    def measure(name: str) -> Figures:
        seconds = bench.options.seconds
        p50 = seen(name, 1, seconds)["calls"]["iris"]["p50_ms"]
        return {"p50_ms": p50, "per_second": seen(name, CONNECTIONS, seconds)["per_second"]}

    for name in hosts:
        seen(name, CONNECTIONS, 1)  # warms up, not counted
    rounds = bench.in_turn(list(hosts), measure)
    p50s, rates = series(rounds, "p50_ms"), series(rounds, "per_second")
    return {
        "nginx": docker("compose", "exec", "-T", "gateway", "sh", "-c", "nginx -v 2>&1").rpartition("/")[2],
        "docker": docker("version", "--format", "{{.Server.Version}}"),
        "ways": {
            name: {
                "p50_ms": spread(p50s[name]),
                "more_ms": statistics.median(differences(p50s[name], p50s[DIRECT])),
                "per_second": spread(rates[name]),
                "share": statistics.median(ratios(rates[name], rates[DIRECT])),
            }
            for name in hosts
        },
    }


def write(figures: Figures) -> dict[str, Any]:
    """The three ways."""
    rows = [
        [name, shown(way["p50_ms"], digits=3), f"{way['more_ms']:+.3f}", shown(way["per_second"], digits=0),
         f"{way['share']:.0%}"]
        for name, way in figures["ways"].items()
    ]  # fmt: skip
    return {"table": table("Requests go to | p50, ms | more than direct, ms | requests/s | of direct", rows)}


SCENARIO = Scenario(
    "gateway", "What the gateway costs", run, write, "gateway", models=(), servers="", rounds=7, seconds=3
)
