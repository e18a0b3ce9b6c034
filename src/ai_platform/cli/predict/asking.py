"""Asking a running platform over HTTP, with patience where it is busy and its own words where it refuses."""

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import orjson

from ai_platform.errors import PlatformError
from ai_platform.runtimes.base.signature import Feature

ANSWER_SECONDS = 60
# How long a platform that is busy, or still loads the model, is asked again.
BUSY_SECONDS = 20.0
_SHOWN_FAULTS = 5


class PredictionRefused(PlatformError):
    """The platform answered with problem details; the detail says what it said.

    Attributes:
        status: of the answer; 0 where there is none.
        problem: the code of the problem.
        faults: pointer into the body and what is wrong there.
    """

    code = "prediction_refused"

    def __init__(
        self, detail: str, status: int = 0, problem: str = "", faults: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.problem, self.faults = status, problem, faults


class PredictionBusy(PredictionRefused):
    """The platform cannot answer now.

    Attributes:
        seconds: after which it asked to be asked again.
    """

    seconds = 1.0


@dataclass(frozen=True, slots=True)
class Described:
    """What a version takes.

    Attributes:
        inputs: its features.
        ignored: columns of training that it does not read.
    """

    inputs: tuple[Feature, ...]
    ignored: frozenset[str]


class Caller:
    """One platform over HTTP.

    Args:
        address: where it is.
        api_key: sent as a bearer token, if there is one.
    """

    def __init__(self, address: str, api_key: str | None) -> None:
        self._address = address
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def described(self, name: str) -> Described | None:
        """What `production` of a model takes; None where the key may predict and not read models.

        Raises:
            PredictionRefused: there is no such model, or no platform.
        """
        try:
            return self._described(name)
        except PredictionRefused as refusal:
            if refusal.status == HTTPStatus.FORBIDDEN:
                return None
            raise

    def _described(self, name: str) -> Described:
        named = {alias["name"]: alias for alias in self.call("GET", f"/models/{name}/aliases")["aliases"]}
        if "production" not in named:
            raise PredictionRefused(f"production of model {name!r} names no version; promote one")
        version = named["production"]["targets"][0]["version"]
        body = self.call("GET", f"/models/{name}/versions/{version}")
        return Described(msgspec.convert(body["inputs"], tuple[Feature, ...]), frozenset(body.get("ignored", ())))

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """One request; one that is asked to come again in a moment (429, 503) does so, for a while.

        Raises:
            PredictionRefused: the answer is no success, or there is none.
        """
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._call(method, path, body)
            except PredictionBusy as busy:
                if time.monotonic() + busy.seconds > give_up:
                    raise
                time.sleep(busy.seconds)

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        try:
            request = urllib.request.Request(self._address + path, body, self._headers, method=method)  # noqa: S310  # the user's own address
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                found: dict[str, Any] = orjson.loads(answer.read())
                return found
        except urllib.error.HTTPError as refusal:
            raise _refused(refusal) from None
        except (OSError, http.client.HTTPException) as error:
            raise PredictionRefused(f"{self._address} does not answer ({error}); is the platform up?") from None
        except ValueError:
            raise PredictionRefused(f"what answers at {self._address} is no AI Platform") from None


def _refused(refusal: urllib.error.HTTPError) -> PredictionRefused:
    try:
        problem = json.load(refusal)
        faults = tuple((str(one.get("pointer", "")), str(one["detail"])) for one in problem.get("errors", []))
        detail, code = str(problem.get("detail", refusal.code)), str(problem.get("code", ""))
    except (ValueError, KeyError, AttributeError, TypeError, OSError):
        detail, code, faults = f"the platform answered {refusal.code}", "", ()
    shown = "; ".join(f"{pointer} {what}" for pointer, what in faults[:_SHOWN_FAULTS])
    kind = PredictionRefused
    if refusal.code in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        kind = PredictionBusy
    found = kind(f"{detail}: {shown}" if shown else detail, refusal.code, code, faults)
    again = refusal.headers.get("Retry-After", "")
    if isinstance(found, PredictionBusy) and again.isdigit():
        found.seconds = float(again)
    return found
