"""A closed loop by wrk (Debian's package `wrk`): each of N connections sends when its answer has come.

wrk keeps connections, opens another after `Connection: close`, and never sends a request again. It counts every
status of 400 and more as a failure, and measures whole seconds.
"""

import json
import shutil
from typing import Any

from benchmarks.load.plan import NUMBERED, Plan, first_number

HOW_TO_INSTALL = "wrk, which makes the closed loops, is not installed: apt-get install wrk"
_SCRIPT = """
wrk.headers["Host"] = "localhost"
wrk.headers["Content-Type"] = "application/json"
local key, calls, number, limit = %s, {%s}, %d, %d
if key ~= "" then wrk.headers["Authorization"] = "Bearer " .. key end
if #calls == 1 and not calls[1].after then
  wrk.method, wrk.path, wrk.body = calls[1].method, calls[1].path, calls[1].before
else
  request = function()
    local draw, index = math.random(), 1
    while index < #calls and draw > calls[index].upto do index = index + 1 end
    local call = calls[index]
    local body = call.before
    if call.after then
      number = number + 1
      body = call.before .. string.format("%%08d", number) .. call.after
    end
    return wrk.format(call.method, call.path, nil, body)
  end
end
if limit > 0 then
  local ffi, answered = require("ffi"), 0
  ffi.cdef("int getpid(void); int kill(int, int);")
  response = function()
    answered = answered + 1
    -- The thread stops sending, and SIGINT ends the main thread's sleep of the whole duration.
    if answered == limit then wrk.thread:stop() ffi.C.kill(ffi.C.getpid(), 2) end
  end
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'JSON{"seconds":%%f,"requests":%%d,"p50_ms":%%f,"p90_ms":%%f,"p99_ms":%%f,"max_ms":%%f,"failures":' ..
    '{"connect":%%d,"read":%%d,"write":%%d,"status":%%d,"timeout":%%d}}\\n',
    summary.duration / 1e6, summary.requests, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.connect, errors.read, errors.write, errors.status,
    errors.timeout))
end
"""


def is_installed() -> bool:
    """Whether there is one here."""
    return shutil.which("wrk") is not None


def command(plan: Plan, script: str) -> list[str]:
    """The command line; `script` is the file that has what `script_of` gives."""
    seconds = max(1, round(plan.seconds))
    return ["wrk", "-t1", f"-c{plan.connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script,
            f"http://{plan.host}:{plan.port}/"]  # fmt: skip


def script_of(plan: Plan) -> str:
    """What wrk is to send, in Lua, and how it tells what it saw."""
    total, upto, calls = sum(call.weight for call in plan.calls), 0.0, []
    for call in plan.calls:
        upto += call.weight / total
        before, numbered, after = call.body.partition(NUMBERED)
        parts = {"method": "POST" if call.body else "GET", "path": call.path, "before": before}
        parts |= {"after": after} if numbered else {}
        # A string of JSON in ASCII is one of Lua.
        given = "".join(f",{name}={json.dumps(part)}" for name, part in parts.items())
        calls.append(f"{{upto={upto:f}{given}}}")
    return _SCRIPT % (json.dumps(plan.key), ",".join(calls), first_number(), plan.requests)


def read(output: str, plan: Plan) -> dict[str, Any]:
    """The summary that wrk printed, in the words of `tally`; latencies are of all answers together."""
    seen: dict[str, Any] = json.loads(next(line[4:] for line in output.splitlines() if line.startswith("JSON")))
    # What broke has no answer, so that it does not stand among wrk's requests.
    right = seen["requests"] - seen["failures"]["status"]
    name = ", ".join(call.name for call in plan.calls)
    return {
        "seconds": seen["seconds"],
        "requests": seen["requests"] + sum(seen["failures"][kind] for kind in ("connect", "read", "write", "timeout")),
        "right": right,
        "per_second": right / seen["seconds"],
        "failures": {kind: count for kind, count in seen["failures"].items() if count},
        "calls": {name: {"count": right, **{key: seen[key] for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")}}},
    }
