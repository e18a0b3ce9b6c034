"""Problem details (RFC 9457): the one table that turns facts into status codes, and the one way to write an error."""

import msgspec

from ai_platform import errors
from ai_platform.codecs.codec import ErrorAnswer
from ai_platform.errors import (
    InvalidInput,
    InvalidParameter,
    MethodNotAllowed,
    Overloaded,
    PlatformError,
    Unauthenticated,
)
from ai_platform.telemetry import REQUEST_ID

CONTENT_TYPE = "application/problem+json"

# Status and title of each code.
PROBLEMS: dict[str, tuple[int, str]] = {
    errors.InvalidJson.code: (400, "The body is not strict JSON"),
    errors.MalformedRequest.code: (400, "The request is malformed"),
    errors.InvalidHeader.code: (400, "A header is malformed"),
    errors.UnknownHost.code: (400, "Unknown host"),
    errors.KeyInUrl.code: (400, "A key stands in the URL"),
    errors.Unauthenticated.code: (401, "A valid key is needed"),
    errors.Forbidden.code: (403, "The key does not give this right"),
    errors.NotFound.code: (404, "Not found"),
    errors.ModelNotFound.code: (404, "Model not found"),
    errors.JobNotFound.code: (404, "Job not found"),
    errors.UploadNotFound.code: (404, "Upload not found"),
    errors.UploadsOff.code: (403, "Uploads are off"),
    errors.KeyNotFound.code: (404, "Key not found"),
    errors.MethodNotAllowed.code: (405, "Method not allowed"),
    errors.RequestTimedOut.code: (408, "The request arrived too slowly"),
    errors.InvalidCursor.code: (400, "The cursor is invalid"),
    errors.JobNotRetryable.code: (409, "The job cannot be retried"),
    errors.JobAlreadyFinished.code: (409, "The job is finished"),
    errors.VersionInUse.code: (409, "The version is in use"),
    errors.KeyNotActive.code: (409, "The key is not active"),
    errors.BodyTooLarge.code: (413, "The body is too large"),
    errors.UrlTooLong.code: (414, "The URL is too long"),
    errors.UnsupportedMediaType.code: (415, "Unsupported media type"),
    errors.ExpectationFailed.code: (417, "Expectation failed"),
    errors.ArtifactRefused.code: (422, "The model is refused"),
    errors.InvalidInput.code: (422, "The input does not match the model"),
    errors.InvalidParameter.code: (422, "A parameter is invalid"),
    errors.IdempotencyKeyReused.code: (422, "The Idempotency-Key was used with another request"),
    errors.TooManyJobs.code: (429, "Too many queued jobs"),
    errors.RateLimited.code: (429, "Too many rows"),
    errors.HeadersTooLarge.code: (431, "The headers are too large"),
    errors.CallerLeft.code: (499, "The caller left"),
    errors.PlatformError.code: (500, "Internal error"),
    errors.ModelFailed.code: (500, "The model failed"),
    errors.NonFiniteOutput.code: (500, "The model's output is no number"),
    errors.NotImplementedHere.code: (501, "Not implemented"),
    errors.ModelNotReady.code: (503, "The model is not ready"),
    errors.KeysUnavailable.code: (503, "Keys cannot be checked"),
    errors.StorageUnavailable.code: (503, "The database is not available"),
    errors.Overloaded.code: (503, "Too busy"),
    errors.QueueFull.code: (503, "The queue is full"),
    errors.DeadlineExceeded.code: (504, "The deadline has passed"),
    errors.ModelTooSlow.code: (504, "The model is too slow"),
    errors.HttpVersionNotSupported.code: (505, "Version of HTTP not supported"),
}
RETRY_SECONDS = 1


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, and where: a JSON pointer into the body (RFC 6901), or a parameter's name."""

    pointer: str | msgspec.UnsetType = msgspec.UNSET
    parameter: str | msgspec.UnsetType = msgspec.UNSET
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[Fault] | msgspec.UnsetType = msgspec.UNSET


def problem(error: PlatformError) -> ErrorAnswer:
    """A fact as problem details."""
    code = error.code if error.code in PROBLEMS else PlatformError.code
    status, title = PROBLEMS[code]
    faults: list[Fault] | msgspec.UnsetType = msgspec.UNSET
    if isinstance(error, InvalidInput):
        faults = [Fault(pointer=fault.pointer, detail=fault.detail) for fault in error.faults]
    elif isinstance(error, InvalidParameter):
        faults = [Fault(parameter=error.parameter, detail=error.detail)]
    kind = f"urn:ai-platform:problem:{code}"
    body = Problem(kind, title, status, error.detail, code, REQUEST_ID.get(), faults)
    headers = {"content-type": CONTENT_TYPE}
    if status in {429, 503}:
        headers["retry-after"] = str(error.retry_after if isinstance(error, Overloaded) else RETRY_SECONDS)
    elif isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="ai-platform"'
    elif status in {408, 413}:  # the rest of the body is unread, so the connection cannot be used again
        headers["connection"] = "close"
    elif isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    return ErrorAnswer(status, headers, msgspec.json.encode(body))
