"""What the gateway costs: `docker compose up -d --build --wait`, then `python benchmarks/scenarios/gateway.py [--rounds 7]`.

The same requests in one run, in interleaved rounds: to a replica's own address, to the gateway's address, and to the
port that the gateway publishes on loopback (where Docker's forwarding is added). p50 with one connection, throughput
with 32; medians over the rounds. The load comes from wrk if it is installed, else from asyncio here. It writes
docs/benchmarks/gateway.md.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import machine  # noqa: E402

PORT = 8000
BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
HEADERS = {"Host": "localhost", "Content-Type": "application/json"}
CONNECTIONS = 32


class Figures(NamedTuple):
    """One measurement: requests a second, and the median latency in milliseconds."""

    a_second: float
    p50_ms: float


def wrk(address: str, connections: int, seconds: float) -> Figures:
    """Measure with wrk.

    Raises:
        RuntimeError: some answer was no success.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.body = '{BODY.decode()}'\n")
        script.writelines(f"wrk.headers['{name}'] = '{value}'\n" for name, value in HEADERS.items())
        script.flush()
        said = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", script.name,
             f"http://{address}:{PORT}/predict/"],
            capture_output=True, text=True, timeout=seconds + 30, check=True,
        ).stdout  # fmt: skip
    found = re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if found is None or rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    return Figures(float(rate[1]), float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]])


def bundled(address: str, connections: int, seconds: float) -> Figures:
    """Measure with asyncio streams: each connection sends when its answer has come."""
    return asyncio.run(_bundled(address, connections, seconds))


async def _bundled(address: str, connections: int, seconds: float) -> Figures:
    latencies: list[float] = []
    begun = time.perf_counter()
    await asyncio.gather(*(_caller(address, begun + seconds, latencies) for _ in range(connections)))
    return Figures(len(latencies) / (time.perf_counter() - begun), statistics.median(latencies) * 1000)


async def _caller(address: str, until: float, latencies: list[float]) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"POST /predict/ HTTP/1.1\r\n{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    reader, writer = await asyncio.open_connection(address, PORT)
    while (begun := time.perf_counter()) < until:
        writer.write(request)
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            if cut.partial:
                raise
            # nginx closes a connection after 1,000 requests; a client then opens another, and so does this one.
            writer.close()
            reader, writer = await asyncio.open_connection(address, PORT)
            continue
        if b" 200 " not in answer[:13]:
            raise RuntimeError(answer.decode())
        length = re.search(rb"content-length: (\d+)", answer.lower())
        assert length is not None
        await reader.readexactly(int(length[1]))
        latencies.append(time.perf_counter() - begun)
    writer.close()


def docker(*words: str) -> str:
    """What a docker command prints."""
    return subprocess.run(
        ["docker", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


def inner_address(service: str) -> str:
    """The address of a service's one container on the inner network.

    Raises:
        SystemExit: it has none, or several.
    """
    containers = docker("compose", "ps", "--quiet", service).split()
    if len(containers) != 1:
        raise SystemExit(f"{len(containers)} containers of {service} run; start the stack with one of each")
    form = '{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.IPAddress}}{{"\\n"}}{{end}}'
    networks = dict(line.split() for line in docker("inspect", "-f", form, containers[0]).splitlines() if line.strip())
    return next(address for name, address in networks.items() if name.endswith("_back"))


def measure(targets: dict[str, str], rounds: int, seconds: float) -> dict[str, list[Figures]]:
    """What each round gave; within a round each target has its turn, and the next round begins with another."""
    load = wrk if shutil.which("wrk") else bundled
    seen: dict[str, list[Figures]] = {name: [] for name in targets}
    names = list(targets)
    for name in names:
        load(targets[name], CONNECTIONS, 1)  # warms up, not counted
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            alone = load(targets[name], 1, seconds)
            busy = load(targets[name], CONNECTIONS, seconds)
            seen[name].append(Figures(busy.a_second, alone.p50_ms))
            print(f"round {number + 1}: {name:<42} {busy.a_second:8.0f} a second, p50 alone {alone.p50_ms:.3f} ms")
    return seen


def row(name: str, rounds: list[Figures], direct: list[Figures]) -> str:
    """Medians, and the medians of what each round showed beside the direct way in the same round."""
    pairs = list(zip(rounds, direct, strict=True))
    more = statistics.median(ours.p50_ms - theirs.p50_ms for ours, theirs in pairs)
    share = statistics.median(ours.a_second / theirs.a_second for ours, theirs in pairs)
    p50s, rates = [one.p50_ms for one in rounds], [one.a_second for one in rounds]
    p50 = f"{statistics.median(p50s):.3f} ({min(p50s):.3f} to {max(p50s):.3f})"
    rate = f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
    return f"| {name} | {p50} | {more:+.3f} | {rate} | {share:.0%} |"


def page(figures: dict[str, list[Figures]], rounds: int, seconds: float, loaded: float) -> str:
    """The page that is published."""
    direct = next(iter(figures.values()))
    rows = [row(name, seen, direct) for name, seen in figures.items()]
    nginx = docker("compose", "exec", "-T", "gateway", "sh", "-c", "nginx -v 2>&1").rpartition("/")[2]
    loader = "wrk" if shutil.which("wrk") else "the script's own asyncio loader"
    how = (
        "`POST /predict/` with the iris example, one API replica, everything on one machine. Medians of "
        f"{rounds} rounds of {seconds:g} s, the targets taken in turn within each round, and of the rounds' "
        "differences and ratios, the lowest and the highest round in brackets; one connection for the "
        f"latency, {CONNECTIONS} for the throughput. Load: {loader}, on the same cores as everything else, so the rows "
        "compare with one another and with nothing else."
    )
    where = (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine.place()}, "
        f"nginx {nginx}, Docker {docker('version', '--format', '{{.Server.Version}}')}; load average "
        f"{loaded:.1f} before the first round. "
        "Measure yours: `docker compose up -d --build --wait`, then `python benchmarks/scenarios/gateway.py`."
    )
    if loaded > 1:
        where = (
            "**Other work ran on the machine at the same time**, and the rounds differ by more than the ways do. The "
            "least disturbed rounds say most: compare the lowest latencies and the highest throughputs in brackets."
            f"\n\n{where}"
        )
    header = "| Requests go to | p50, ms | more than direct, ms | requests a second | of direct |"
    lines = ["# What the gateway costs", "", how, "", header, "| --- | ---: | ---: | ---: | ---: |", *rows, "", where]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="What the gateway costs, beside a replica asked directly.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    targets = {
        "a replica directly": inner_address("api"),
        "the gateway": inner_address("gateway"),
        "the gateway through its published port": "127.0.0.1",
    }
    loaded = os.getloadavg()[0]
    text = page(measure(targets, options.rounds, options.seconds), options.rounds, options.seconds, loaded)
    target = ROOT / "docs" / "benchmarks" / "gateway.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
