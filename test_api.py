"""Smoke test of a running platform: `python test_api.py [--url http://localhost:8000] [--api-key KEY]`.

Standard library only, so that any Python 3 runs it. Exit status 0 when every step passed, 1 otherwise.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple

SAMPLE = {"features": [5.1, 3.5, 1.4, 0.2]}
JOB_SECONDS = 30


class Reply(NamedTuple):
    """An answer: its status and its JSON body."""

    status: int
    body: dict[str, Any]


class Platform:
    """The platform under test."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """One request; an answer of any status is a reply."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=JOB_SECONDS + 5) as answer:
                return Reply(answer.status, json.load(answer))
        except urllib.error.HTTPError as refusal:
            return Reply(refusal.code, json.load(refusal))


def service_status(platform: Platform) -> str:
    """GET / answers."""
    reply = platform.call("GET", "/")
    expect(reply.status == 200, f"GET / answered {reply.status}")
    return f"{reply.body['service']} {reply.body['version']}"


def health(platform: Platform) -> str:
    """GET /health says that it can predict."""
    reply = platform.call("GET", "/health")
    expect(reply.status == 200, f"GET /health answered {reply.status}: {reply.body}")
    model, workers = reply.body["model"], reply.body.get("workers", {})
    return f"{reply.body['status']}; {model['name']} version {model['version']}; workers: {workers.get('alive', '?')}"


def prediction(platform: Platform) -> str:
    """POST /predict/ classifies a setosa."""
    reply = platform.call("POST", "/predict/", SAMPLE)
    expect(reply.status == 200, f"POST /predict/ answered {reply.status}: {reply.body}")
    expect(reply.body["prediction"] == 0, f"expected class 0, got {reply.body['prediction']}")
    expect(abs(sum(reply.body["probabilities"]) - 1) < 1e-6, "the probabilities do not add up to 1")
    return f"{reply.body['label']} with probability {max(reply.body['probabilities']):.3f}"


def asynchronous_prediction(platform: Platform) -> str:
    """POST /predict/async is accepted, and its job gives what the synchronous call gives."""
    begun = time.monotonic()
    accepted = platform.call("POST", "/predict/async", SAMPLE)
    expect(accepted.status == 202, f"POST /predict/async answered {accepted.status}: {accepted.body}")
    job = platform.call("GET", f"{accepted.body['url']}?wait={JOB_SECONDS}").body
    expect(job["status"] == "succeeded", f"the job is {job['status']} after {JOB_SECONDS} s")
    direct = platform.call("POST", "/predict/", SAMPLE).body
    for ours, theirs in zip(job["result"]["probabilities"], direct["probabilities"]):  # noqa: B905  # any Python 3
        expect(abs(ours - theirs) < 1e-6, "the job's probabilities differ from the synchronous call's")
    return f"job {job['id'][:8]}… {job['status']} after {time.monotonic() - begun:.2f} s"


def refused_input(platform: Platform) -> str:
    """A wrong input is refused with a sentence that says where it is wrong."""
    reply = platform.call("POST", "/predict/", {"features": [5.1, "tall", 1.4, 0.2]})
    expect(reply.status == 422, f"a wrong input was answered with {reply.status}")
    fault = reply.body["errors"][0]
    return f"422, {fault['pointer']} {fault['detail']}"


STEPS: tuple[Callable[[Platform], str], ...] = (
    service_status,
    health,
    prediction,
    asynchronous_prediction,
    refused_input,
)


class Failed(Exception):
    """A step found something else than it should."""


def expect(holds: bool, otherwise: str) -> None:
    """Fail the step unless it holds."""
    if not holds:
        raise Failed(otherwise)


def main() -> int:
    """Run every step, show a line for each."""
    parser = argparse.ArgumentParser(description="Smoke test of a running AI Platform.")
    parser.add_argument("--url", default="http://localhost:8000", help="where the platform answers")
    parser.add_argument("--api-key", help="a key, when the platform asks for one")
    options = parser.parse_args()
    platform = Platform(options.url, options.api_key)
    failures = 0
    for step in STEPS:
        name = step.__name__.replace("_", " ")
        try:
            print(f"  ok    {name:<24} {step(platform)}")
        except urllib.error.URLError as error:
            print(f"  FAIL  {name:<24} {options.url} does not answer ({error.reason}). Is `make up` running?")
            return 1
        except (Failed, KeyError, ValueError, OSError) as error:
            failures += 1
            print(f"  FAIL  {name:<24} {error}")
    print(f"\n{len(STEPS) - failures} of {len(STEPS)} steps passed against {options.url}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
