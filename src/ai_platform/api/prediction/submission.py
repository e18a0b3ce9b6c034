"""Accepting a prediction as a job: the headers that ask for it, the 202 that answers."""

import re
import uuid
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import msgspec
import orjson

from ai_platform.api.http.answers import send_answer
from ai_platform.api.http.asgi import Send
from ai_platform.api.http.deadline import timeout_of
from ai_platform.api.http.parameters import seconds_of
from ai_platform.api.http.request_head import Headers, RequestHead
from ai_platform.api.prediction.paths import PredictionPath
from ai_platform.errors import InvalidHeader, InvalidParameter, PlatformError
from ai_platform.jobs.following import wait_for_end
from ai_platform.jobs.job import Job
from ai_platform.jobs.submission import Accepted
from ai_platform.serving.bootstrap import Services
from ai_platform.serving.predictor import PredictionRequest

SHORTEST_LIFETIME = 0.001
_KEY = re.compile(r"[\x21-\x7e]{8,255}")
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Preference:
    """What a Prefer header (RFC 7240) asks for.

    Attributes:
        respond_async: to be answered with a job.
        wait: seconds to wait for the job's end before that, if it says so.
    """

    respond_async: bool = False
    wait: float = 0.0


_NO_PREFERENCE = Preference()


@dataclass(frozen=True, slots=True)
class SubmissionHeaders:
    """What a request says of the job that it may become.

    Attributes:
        preference: its Prefer header.
        key: its Idempotency-Key.
    """

    preference: Preference
    key: str | None


def submission_headers_of(head: RequestHead) -> SubmissionHeaders:
    """Read them; of a synchronous prediction too, because one that is malformed was meant for something.

    Raises:
        InvalidHeader: the Idempotency-Key is not of its form, or sent twice.
    """
    return SubmissionHeaders(preference_of(head), idempotency_key_of(head))


async def answer_submission(
    services: Services,
    request: PredictionRequest,
    send: Send,
    *,
    path: PredictionPath,
    head: RequestHead,
    asked: SubmissionHeaders,
) -> None:
    """Make a job, and answer 202; or 200 with the result, if the caller waits and it ends in time.

    Args:
        services: the services of this process.
        request: what is to be predicted.
        send: where the answer goes.
        path: on which it came; an asynchronous one answers 202 whatever is preferred.
        head: of the request.
        asked: what that says of the job.

    Raises:
        PlatformError: any fact that the problem table knows.
    """
    lifetimes = (_expires_in(head, services.settings.jobs.longest_lifetime_seconds), timeout_of(head))
    expires_in = min((seconds for seconds in lifetimes if seconds is not None), default=None)
    accepted = await services.serving.submit(request, path.target, key=asked.key, expires_in=expires_in)
    headers = _headers(accepted, applied=asked.preference.respond_async and not path.later)
    if asked.preference.wait and not path.later:
        job = await _wait(services, accepted, request.principal.owner, asked.preference.wait)
        if job is not None and job.state == "succeeded":
            await send_answer(send, 200, _JSON, orjson.dumps(job.result), headers)
            return
        accepted = accepted if job is None else replace(accepted, state=job.state)
    await send_answer(send, 202, _JSON, msgspec.json.encode(accepted_view(accepted)), headers)


async def _wait(services: Services, accepted: Accepted, owner: str, seconds: float) -> Job | None:
    """The job after the wait; None when nobody can tell, which must not hide that it was accepted."""
    seconds = min(seconds, services.settings.limits.wait_seconds)
    try:
        return await wait_for_end(services.jobs, services.watcher, accepted.id, owner, seconds)
    except PlatformError:
        return None


def preference_of(head: RequestHead) -> Preference:
    """The preferences that are known here; unknown and malformed ones are ignored, as the RFC says."""
    given = head.all(b"prefer")
    if not given:
        return _NO_PREFERENCE
    tokens = [token.strip().lower() for value in given for token in value.split(b",")]
    waits = [token.partition(b"=")[2].strip(b'" ') for token in tokens if token.startswith(b"wait=")]
    wait = float(waits[0]) if waits and waits[0].isdigit() and len(waits[0]) < 6 else 0.0  # noqa: PLR2004
    return Preference(b"respond-async" in tokens, wait)


class AcceptedView(msgspec.Struct, frozen=True):
    """A job that is committed; its status is `queued`, or where a replayed job stands."""

    id: uuid.UUID
    status: str
    url: str
    model: str
    version: int
    retry_of: uuid.UUID | msgspec.UnsetType = msgspec.UNSET


def accepted_view(accepted: Accepted, retry_of: uuid.UUID | None = None) -> AcceptedView:
    """The body of a 202."""
    url = f"/jobs/{accepted.id}"
    return AcceptedView(accepted.id, accepted.state, url, accepted.model, accepted.version, retry_of or msgspec.UNSET)


def _headers(accepted: Accepted, *, applied: bool) -> Headers:
    headers = [(b"location", f"/jobs/{accepted.id}".encode())]
    if accepted.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if applied:
        headers += [(b"preference-applied", b"respond-async"), (b"vary", b"Prefer")]
    return headers


def idempotency_key_of(head: RequestHead) -> str | None:
    """The Idempotency-Key of a request, quoted or not; None when it has none.

    Raises:
        InvalidHeader: it is not of its form, or sent twice.
    """
    given = head.all(b"idempotency-key")
    if not given:
        return None
    text = given[0].decode("latin-1").strip()
    if len(text) > 2 and text[0] == text[-1] == '"':  # noqa: PLR2004  # an RFC 8941 string, as the draft asks
        text = text[1:-1]
    if len(given) > 1 or not _KEY.fullmatch(text):
        raise InvalidHeader("Idempotency-Key must be one value of 8 to 255 visible ASCII characters")
    return text


def _expires_in(head: RequestHead, most: float) -> float | None:
    if not head.query:
        return None
    query = parse_qs(head.query.decode("latin-1"), keep_blank_values=True)
    for name in query:
        if name != "expires_in":
            raise InvalidParameter("query", "only expires_in is read here")
    return seconds_of("expires_in", query.get("expires_in", []), most, least=SHORTEST_LIFETIME)
