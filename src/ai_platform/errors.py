"""What can go wrong, as facts without HTTP numbers; the one table of those is in `codecs/problem_details.py`."""

from dataclasses import dataclass


class PlatformError(Exception):
    """A fact that a caller can act on.

    Attributes:
        code: stable, machine-readable name of the fact (`model_not_found`).
        detail: one sentence for a person; never holds the rejected input or an internal name.
    """

    code = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidSettings(PlatformError):
    """The environment holds a setting that is unknown or cannot be used."""

    code = "invalid_settings"


class InvalidJson(PlatformError):
    """The body is not one strict JSON document (RFC 8259, no duplicate keys, finite numbers)."""

    code = "invalid_json"


@dataclass(frozen=True, slots=True)
class InputFault:
    """One thing wrong with an input.

    Attributes:
        pointer: RFC 6901 JSON pointer into the body (`/instances/37/petal_width`).
        detail: what is wrong, without the value that was sent.
    """

    pointer: str
    detail: str


class InvalidInput(PlatformError):
    """The body is JSON, but not an input that the model's signature admits.

    Attributes:
        faults: at most 20 faults, in the order of the body.
    """

    code = "invalid_input"

    def __init__(self, detail: str, faults: list[InputFault]) -> None:
        super().__init__(detail)
        self.faults = faults


class InvalidParameter(PlatformError):
    """A query parameter or path part is not of its form.

    Attributes:
        parameter: its name.
    """

    code = "invalid_parameter"

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail)
        self.parameter = parameter


class InvalidHeader(PlatformError):
    """A request header is not of its form."""

    code = "invalid_header"


class MalformedRequest(PlatformError):
    """What arrived is not HTTP/1.1: its request line, a header or the length of its body cannot be read."""

    code = "malformed_request"


class HttpVersionNotSupported(PlatformError):
    """The request line names a version of HTTP other than 1.0 and 1.1."""

    code = "http_version_not_supported"


class NotImplementedHere(PlatformError):
    """The request asks for a tunnel (CONNECT), or its body has a transfer coding other than chunked."""

    code = "not_implemented"


class ExpectationFailed(PlatformError):
    """The Expect header asks for something other than `100-continue`."""

    code = "expectation_failed"


class UrlTooLong(PlatformError):
    """Path and query together are longer than any of this server's."""

    code = "url_too_long"


class HeadersTooLarge(PlatformError):
    """The header block is larger, or has more headers, than any client's should."""

    code = "headers_too_large"


class BodyTooLarge(PlatformError):
    """The body has more bytes than the limit."""

    code = "body_too_large"


class UnsupportedMediaType(PlatformError):
    """The body is not `application/json`, or arrives compressed."""

    code = "unsupported_media_type"


class NotFound(PlatformError):
    """No route answers to this path."""

    code = "not_found"


class MethodNotAllowed(PlatformError):
    """The path exists, the method does not.

    Attributes:
        allow: the methods that do, as the Allow header lists them.
    """

    code = "method_not_allowed"

    def __init__(self, allow: str) -> None:
        super().__init__(f"this path answers to {allow}")
        self.allow = allow


class UnknownHost(PlatformError):
    """The Host header names a host that this server does not serve."""

    code = "unknown_host"


class RequestTimedOut(PlatformError):
    """The client sent its request too slowly."""

    code = "request_timed_out"


class Unauthenticated(PlatformError):
    """The request carries no valid API key: none, or one that is unknown, has expired or was revoked."""

    code = "unauthenticated"


class KeyInUrl(PlatformError):
    """The URL holds an API key, where logs and histories would keep it."""

    code = "key_in_url"


class Forbidden(PlatformError):
    """The key is valid, and does not give this right."""

    code = "forbidden"


class KeysUnavailable(PlatformError):
    """Nobody's key can be checked: PostgreSQL has been away for longer than the keys read last may be used."""

    code = "keys_unavailable"


class KeyNotFound(PlatformError):
    """No API key has that id."""

    code = "key_not_found"


class KeyNotActive(PlatformError):
    """The API key has expired or was revoked, so it cannot be rotated."""

    code = "key_not_active"


class ModelNotFound(PlatformError):
    """No published model, or no version of it, has that name."""

    code = "model_not_found"


class ModelNotReady(PlatformError):
    """The model exists, and cannot predict yet (loading, or its bytes cannot be had)."""

    code = "model_not_ready"


class ModelFailed(PlatformError):
    """The model raised while it predicted."""

    code = "model_error"


class NonFiniteOutput(ModelFailed):
    """The model's output is NaN or infinite, and the platform's setting makes that an error."""

    code = "non_finite_output"


class ModelTooSlow(PlatformError):
    """The model did not answer within the time limit of one call; the process that computed it was ended."""

    code = "model_too_slow"


class DeadlineExceeded(PlatformError):
    """The time that the caller gave the request (`X-Request-Timeout-Ms`) is over, or cannot be kept."""

    code = "deadline_exceeded"


class CallerLeft(PlatformError):
    """The caller closed the connection before its prediction was begun; nobody reads this answer."""

    code = "caller_left"


class ArtifactRefused(PlatformError):
    """An artifact's bytes, manifest or signature are not what a trusted key signed; nothing of it was executed."""

    code = "artifact_refused"


class VersionInUse(PlatformError):
    """An alias names the version, or a job that has not ended is pinned to it; it cannot be deleted."""

    code = "version_in_use"


class UploadsOff(PlatformError):
    """Models are not taken over HTTP here; an operator has to turn that on."""

    code = "uploads_off"


class UploadNotFound(PlatformError):
    """No uploaded file of that sha256 waits here; it was never sent to this process, or waited too long."""

    code = "upload_not_found"


class JobNotFound(PlatformError):
    """No job of this caller has that id."""

    code = "job_not_found"


class JobAlreadyFinished(PlatformError):
    """The job is in a final state, and final states never change."""

    code = "job_already_finished"


class JobNotRetryable(PlatformError):
    """The job succeeded or has not ended; only a job that ended otherwise can be retried."""

    code = "job_not_retryable"


class InvalidCursor(PlatformError):
    """The cursor of a page is not one that this platform made."""

    code = "invalid_cursor"


class IdempotencyKeyReused(PlatformError):
    """The same Idempotency-Key came with another body within its 24 hours."""

    code = "idempotency_key_reused"


class StorageUnavailable(PlatformError):
    """PostgreSQL did not answer within its time limit; what was asked for may be asked for again."""

    code = "storage_unavailable"


class Overloaded(PlatformError):
    """A bound was reached.

    Attributes:
        retry_after: seconds after which a retry is likely to be admitted.
    """

    code = "overloaded"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyJobs(Overloaded):
    """The owner has as many queued jobs as one may have."""

    code = "too_many_jobs"


class RateLimited(Overloaded):
    """The key, or the address, has sent as many rows as it may for now."""

    code = "rate_limited"


class QueueFull(Overloaded):
    """The platform has as many queued jobs as it takes on."""

    code = "queue_full"


class StackError(PlatformError):
    """The embedded stack cannot be started or stopped as asked; the detail says what to do."""

    code = "stack"
