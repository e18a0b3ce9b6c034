"""wrk, where it is installed: the same plan with one kind of request, and the same summary."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.load.plan import NUMBERED, Plan, first_number

_SCRIPT = """
wrk.method = {method}
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. {key}
local before, after = {before}, {after}
local number = {number}
if after then
  request = function()
    number = number + 1
    return wrk.format(nil, nil, nil, before .. string.format("%08d", number) .. after)
  end
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'JSON{{"seconds":%f,"requests":%d,"p50":%f,"p90":%f,"p99":%f,"max":%f,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.duration / 1e6, summary.requests, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.max, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


def installed() -> bool:
    """Whether there is one here."""
    return shutil.which("wrk") is not None


def run(plan: Plan) -> dict[str, Any]:
    """Run a plan of one kind of request, in a process with the cores of this one.

    Raises:
        CalledProcessError: wrk failed.
        TimeoutExpired: it did not end.
    """
    (call,) = plan.calls
    method = '"POST"' if call.body else '"GET"'
    before, numbered, after = call.body.partition(NUMBERED)
    text = _SCRIPT.format(
        method=method, body=_lua(call.body), key=_lua(plan.key), before=_lua(before),
        after=_lua(after) if numbered else "nil", number=first_number(),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="aip-bench-") as folder:
        script = Path(folder) / "request.lua"
        script.write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["wrk", "-t1", f"-c{plan.connections}", f"-d{max(1, round(plan.seconds))}s", "--timeout", "30s",
             "-s", str(script), f"http://127.0.0.1:{plan.port}{call.path}"],
            capture_output=True, text=True, check=True, timeout=plan.seconds + 60,
        )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("JSON"))
    seen = json.loads(line[4:])
    failures = {name: seen[name] for name in ("connect", "read", "write", "status", "timeout") if seen[name]}
    right = seen["requests"] - sum(failures.values())
    milliseconds = {f"{name}_ms": seen[name] / 1000 for name in ("p50", "p90", "p99", "max")}
    return {
        "seconds": seen["seconds"],
        "requests": seen["requests"],
        "right": right,
        "a_second": right / seen["seconds"],
        "failures": failures,
        "calls": {call.name: {"count": right, **milliseconds}},
    }


def _lua(text: str) -> str:
    """As a long string of Lua, which has no escapes."""
    return f"[==[{text}]==]"
