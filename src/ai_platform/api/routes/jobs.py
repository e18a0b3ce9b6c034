"""Jobs over HTTP: look, wait, follow, list, cancel, retry."""

import re
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from ai_platform.api.http.parameters import head_of, principal_of, seconds_of
from ai_platform.api.prediction.submission import accepted_body, idempotency_key_of
from ai_platform.errors import InvalidHeader, InvalidParameter, JobNotFound, PlatformError
from ai_platform.jobs.following import stages, wait_for_end
from ai_platform.jobs.job import FINAL, Job, as_body
from ai_platform.models.registry.versions import MODEL_NAME
from ai_platform.serving.bootstrap import Services

router = APIRouter(tags=["jobs"])

STATES = FINAL | {"queued", "running"}
PAGE = 50
_LIMIT = re.compile(r"[1-9][0-9]{0,3}")
_EVENT_ID = re.compile(r"[0-9]{1,6}")
# nginx passes a stream on as it comes when it is told so.
_STREAM = {"x-accel-buffering": "no"}


@router.get("/jobs", summary="Jobs, newest first")
async def list_jobs(request: Request) -> Response:
    """A page of the caller's jobs, of the models that the key may use, without their results.

    `?status=` and `?model=` narrow it, `?limit=` (50) bounds it, `next` leads to the following page.

    Raises:
        InvalidParameter: a parameter is not of its form.
        InvalidCursor: the cursor was not made by this platform.
    """
    services: Services = request.app.state.services
    asked = _page_parameters(request, services.settings.limits.page)
    principal = principal_of(request)
    page = await services.jobs.page(principal.owner, models=principal.models, **asked)
    following = None
    if page.next is not None:
        kept = {name: value for name, value in request.query_params.items() if name != "cursor"}
        following = f"/jobs?{urlencode({**kept, 'cursor': page.next})}"
    return _json({"jobs": [as_body(job) for job in page.jobs], "next": following})


@router.get("/jobs/{job_id}", summary="A job, or its end")
async def read_job(request: Request, job_id: str) -> Response:
    """The job as it is now; with `?wait=SECONDS` (up to 30) once it has ended, or as it is then.

    Raises:
        JobNotFound: the caller has no such job.
        InvalidParameter: `wait` is no number of seconds.
    """
    services: Services = request.app.state.services
    seconds = seconds_of("wait", request.query_params.getlist("wait"), services.settings.limits.wait_seconds) or 0.0
    owned, owner = await _owned(request, job_id), principal_of(request).owner
    return _json(as_body(await wait_for_end(services.jobs, services.watcher, owned, owner, seconds)))


@router.get("/jobs/{job_id}/events", summary="A job's changes, as they come")
async def follow_job(request: Request, job_id: str) -> Response:
    """Server-sent events, one for each state that is seen, ending with the final one; `Last-Event-ID` resumes.

    Raises:
        JobNotFound: the caller has no such job.
        InvalidHeader: `Last-Event-ID` is not one of this stream's.
    """
    services: Services = request.app.state.services
    after = _last_event(request)
    principal = principal_of(request)
    owner = principal.owner
    job = await services.jobs.read(await _owned(request, job_id), owner)
    if job.final and job.stage <= after:
        return Response(status_code=204)  # tells an EventSource not to come back
    longest = services.settings.limits.stream_seconds
    services.watcher.require_room()
    seen = stages(services.jobs, services.watcher, job, owner=owner, after=after, seconds=longest)
    welcome = partial(services.authorizer.still_admits, principal)
    return StreamingResponse(_events(seen, welcome), media_type="text/event-stream", headers=_STREAM)


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job")
async def cancel_job(request: Request, job_id: str) -> Response:
    """The cancelled job.

    Raises:
        JobNotFound: the caller has no such job.
        JobAlreadyFinished: it is final already.
    """
    services: Services = request.app.state.services
    return _json(as_body(await services.jobs.cancel(await _owned(request, job_id), principal_of(request).owner)))


@router.post("/jobs/{job_id}/retry", summary="Run an ended job again, as a new one", status_code=202)
async def retry_job(request: Request, job_id: str) -> Response:
    """A new job with the same input and version, which names the old one as `retry_of`.

    Raises:
        JobNotFound: the caller has no such job.
        JobNotRetryable: it succeeded, or has not ended.
    """
    services: Services = request.app.state.services
    key = idempotency_key_of(head_of(request))
    principal = principal_of(request)
    row = await services.jobs.with_input(await _owned(request, job_id), principal.owner)
    accepted = await services.acceptance.retry(row, key, principal.waiting_jobs)
    answer = _json({**accepted_body(accepted), "retry_of": job_id.lower()}, 202)
    answer.headers["location"] = f"/jobs/{accepted.id}"
    if accepted.replayed:
        answer.headers["idempotent-replayed"] = "true"
    return answer


def _page_parameters(request: Request, most: int) -> dict[str, Any]:
    query = request.query_params
    for name in query:
        if name not in {"status", "model", "limit", "cursor"} or len(query.getlist(name)) > 1:
            raise InvalidParameter(name, "must be one of status, model, limit and cursor, each once")
    state, model, limit = query.get("status"), query.get("model"), query.get("limit", str(min(PAGE, most)))
    if state is not None and state not in STATES:
        raise InvalidParameter("status", f"must be one of {', '.join(sorted(STATES))}")
    if model is not None and not MODEL_NAME.fullmatch(model):
        raise InvalidParameter("model", "a model's name is 1 to 63 characters of a-z, 0-9, _ and -")
    if not _LIMIT.fullmatch(limit) or int(limit) > most:
        raise InvalidParameter("limit", f"must be a number from 1 to {most}")
    return {"state": state, "model": model, "limit": int(limit), "cursor": query.get("cursor")}


def _last_event(request: Request) -> int:
    given = request.headers.getlist("last-event-id")
    if not given:
        return -1
    if len(given) > 1 or not _EVENT_ID.fullmatch(given[0]):
        raise InvalidHeader("Last-Event-ID must be the id of an event of this stream")
    return int(given[0])


async def _events(seen: AsyncIterator[Job | None], welcome: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Jobs in the format of server-sent events (WHATWG HTML, section 9.2), for as long as the caller is welcome."""
    yield b"retry: 1000\n\n"
    try:
        async for job in seen:
            if not welcome():
                return
            if job is None:
                yield b": still here\n\n"
            else:
                data = orjson.dumps(as_body(job), option=orjson.OPT_UTC_Z)
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (job.stage, job.state.encode(), data)
    except PlatformError as error:  # the answer has begun: the stream ends, and the client comes back for the rest
        yield b": %s\n\n" % error.detail.encode()


async def _owned(request: Request, text: str) -> uuid.UUID:
    """The id of a job that the caller may see: one of the owner's, of a model that the key may use.

    Raises:
        JobNotFound: the caller has no such job; for a key that may use all models, that is found out afterwards.
    """
    job_id, principal = _id(text), principal_of(request)
    if principal.models is not None:
        services: Services = request.app.state.services
        job = await services.jobs.read(job_id, principal.owner)
        if not principal.may_use(job.model):
            raise JobNotFound("there is no job with this id")
    return job_id


def _id(text: str) -> uuid.UUID:
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise JobNotFound("there is no job with this id") from None
    if str(found) != text.lower():  # one spelling for one job
        raise JobNotFound("there is no job with this id")
    return found


def _json(body: dict[str, Any], status: int = 200) -> Response:
    content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    return Response(content, status, media_type="application/json")
