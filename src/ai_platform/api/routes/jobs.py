"""Jobs over HTTP: look, wait, follow, list, cancel, retry."""

import re
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from ai_platform.api.http.parameters import head_of, principal_of, seconds_of, services_of
from ai_platform.api.prediction.submission import AcceptedView, accepted_view, idempotency_key_of
from ai_platform.api.routes import paging
from ai_platform.api.routes.declaration import Answer, Parameter, Reply, Routes
from ai_platform.api.routes.path_parts import SCHEMAS
from ai_platform.errors import (
    IdempotencyKeyReused,
    InvalidCursor,
    InvalidHeader,
    InvalidParameter,
    JobAlreadyFinished,
    JobNotFound,
    JobNotRetryable,
    PlatformError,
    TooManyJobs,
)
from ai_platform.jobs.following import stages, wait_for_end
from ai_platform.jobs.job import FINAL, Job, JobView, job_view
from ai_platform.models.registry.names import check_model_name

routes = Routes("jobs")

STATES = FINAL | {"queued", "running"}
_EVENT_ID = re.compile(r"[0-9]{1,6}")
# nginx passes a stream on as it comes when it is told so.
_STREAM = {"x-accel-buffering": "no"}


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{8,255}$"},
    "8 to 255 visible ASCII characters, kept for 24 h: same key and same body, same job",
    place="header",
)
_LAST_EVENT = Parameter(
    "Last-Event-ID",
    {"type": "string", "pattern": "^[0-9]{1,6}$"},
    "id of the last event that was seen",
    place="header",
)


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first; `next` is path and query of the following page."""

    jobs: list[JobView]
    next: str | None


@routes.declare(
    "GET",
    "/jobs",
    scope="jobs",
    summary="Jobs, newest first",
    problems=(InvalidParameter, InvalidCursor),
    parameters=(
        Parameter("status", {"enum": sorted(STATES)}),
        Parameter("model", SCHEMAS["name"]),
        *paging.PARAMETERS,
    ),
)
async def list_jobs(request: Request) -> JobPage:
    """A page of the caller's jobs, of the models that the key may use, without their results.

    `?status=` and `?model=` narrow it, `?limit=` (50) bounds it, `next` leads to the following page.

    Raises:
        InvalidParameter: a parameter is not of its form.
        InvalidCursor: the cursor was not made by this platform.
    """
    services = services_of(request)
    asked = _page_parameters(request, services.settings.limits.page)
    principal = principal_of(request)
    page = await services.jobs.page(principal.owner, models=principal.models, **asked)
    following = None if page.next is None else paging.following(request, "/jobs", page.next)
    return JobPage([job_view(job) for job in page.jobs], following)


@routes.declare(
    "GET",
    "/jobs/{job_id}",
    scope="jobs",
    summary="A job, or its end",
    problems=(JobNotFound, InvalidParameter),
    parameters=(
        Parameter(
            "wait",
            lambda settings: {"type": "number", "minimum": 0, "maximum": settings.limits.wait_seconds},
            "seconds to wait for the job's end",
        ),
    ),
)
async def read_job(request: Request, job_id: str) -> JobView:
    """The job as it is now; with `?wait=SECONDS` (up to 30) once it has ended, or as it is then.

    Raises:
        JobNotFound: the caller has no such job.
        InvalidParameter: `wait` is no number of seconds.
    """
    services = services_of(request)
    seconds = seconds_of("wait", request.query_params.getlist("wait"), services.settings.limits.wait_seconds) or 0.0
    owned, owner = await _owned(request, job_id), principal_of(request).owner
    return job_view(await wait_for_end(services.jobs, services.watcher, owned, owner, seconds))


@routes.declare(
    "GET",
    "/jobs/{job_id}/events",
    scope="jobs",
    summary="A job's changes, as they come",
    answers={
        200: Answer("Server-sent events", media_type="text/event-stream"),
        204: Answer("The final event was delivered already", media_type=""),
    },
    problems=(JobNotFound, InvalidHeader),
    parameters=(_LAST_EVENT,),
)
async def follow_job(request: Request, job_id: str) -> Response:
    """Server-sent events, one for each state that is seen, ending with the final one; `Last-Event-ID` resumes.

    Raises:
        JobNotFound: the caller has no such job.
        InvalidHeader: `Last-Event-ID` is not one of this stream's.
    """
    services = services_of(request)
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


@routes.declare(
    "POST",
    "/jobs/{job_id}/cancel",
    scope="jobs",
    summary="Cancel a job",
    problems=(JobNotFound, JobAlreadyFinished),
)
async def cancel_job(request: Request, job_id: str) -> JobView:
    """The cancelled job.

    Raises:
        JobNotFound: the caller has no such job.
        JobAlreadyFinished: it is final already.
    """
    services = services_of(request)
    return job_view(await services.jobs.cancel(await _owned(request, job_id), principal_of(request).owner))


@routes.declare(
    "POST",
    "/jobs/{job_id}/retry",
    scope="jobs",
    summary="Run an ended job again, as a new one",
    status=202,
    problems=(JobNotFound, JobNotRetryable, InvalidHeader, IdempotencyKeyReused, TooManyJobs),
    parameters=(IDEMPOTENCY_KEY,),
)
async def retry_job(request: Request, job_id: str) -> Reply[AcceptedView]:
    """A new job with the same input and version, which names the old one as `retry_of`.

    Raises:
        JobNotFound: the caller has no such job.
        JobNotRetryable: it succeeded, or has not ended.
    """
    services = services_of(request)
    key = idempotency_key_of(head_of(request))
    principal = principal_of(request)
    row = await services.jobs.with_input(await _owned(request, job_id), principal.owner)
    accepted = await services.acceptance.retry(row, key, principal.waiting_jobs)
    replayed = {"idempotent-replayed": "true"} if accepted.replayed else {}
    return Reply(accepted_view(accepted, uuid.UUID(job_id)), {"location": f"/jobs/{accepted.id}", **replayed})


def _page_parameters(request: Request, most: int) -> dict[str, Any]:
    paging.check_parameters(request, "status", "model", "limit", "cursor")
    query = request.query_params
    state, model = query.get("status"), query.get("model")
    if state is not None and state not in STATES:
        raise InvalidParameter("status", f"must be one of {', '.join(sorted(STATES))}")
    if model is not None:
        check_model_name(model, "model")
    return {"state": state, "model": model, "limit": paging.limit_of(request, most), "cursor": query.get("cursor")}


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
                data = msgspec.json.encode(job_view(job))
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
        services = services_of(request)
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
