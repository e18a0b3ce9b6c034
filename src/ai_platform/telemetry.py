"""Logs and metrics: one line an event, one registry of Prometheus metrics, one request id per request."""

import logging
import sys
from bisect import bisect_left
from contextvars import ContextVar
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from ai_platform.settings import LogSettings

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# How a gauge's values of several processes on one port become one: `multiprocess_mode`. `live` modes forget a process
# with its death, `mostrecent` is for what any of them reads of the same place.

# From 100 µs, what a small model costs, to 10 s, beyond which a client has usually left.
LATENCY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("aip_requests", "HTTP requests by route, method and status.", ["route", "method", "status"])
REQUEST_SECONDS = Histogram(
    "aip_request_seconds",
    "Seconds from a request's arrival to its answer, by route.",
    ["route"],
    buckets=LATENCY_BUCKETS,
)
CONNECTIONS_REFUSED = Counter("aip_connections_refused", "Connections closed at once, because too many were open.")
CONNECTIONS_CUT = Counter(
    "aip_connections_cut",
    "Open connections that were cut off: idle (for new ones), unread (answers are not read), full (all hold too much).",
    ["why"],
)
PREDICTIONS = Counter("aip_predictions", "Rows predicted, by model, version and way in.", ["model", "version", "way"])
PREDICTION_SECONDS = Histogram(
    "aip_prediction_seconds", "Seconds in the model for one call.", ["model", "version"], buckets=LATENCY_BUCKETS
)
PREDICTIONS_WAITING = Gauge(
    "aip_predictions_waiting",
    "Synchronous predictions that wait for a slot, by place.",
    ["place"],
    multiprocess_mode="livesum",
)
PREDICTIONS_REFUSED = Counter(
    "aip_predictions_refused",
    "Synchronous predictions refused before they waited, by model and reason (full, wait, deadline).",
    ["model", "reason"],
)
PREDICTIONS_ABANDONED = Counter(
    "aip_predictions_abandoned",
    "Synchronous predictions that nobody waits for any more, by model and reason: not begun when the deadline passed "
    "(deadline), the caller had left (left) or the wait was too long (wait); or computed in vain (late).",
    ["model", "reason"],
)
MICRO_BATCH = Histogram(
    "aip_micro_batch_requests",
    "Requests that shared one call of a model, of those that left a queue, by model.",
    ["model"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
COMPUTE_PROCESSES = Gauge("aip_compute_processes", "Compute processes that are ready.", multiprocess_mode="livesum")
COMPUTE_DEATHS = Counter(
    "aip_compute_process_deaths",
    "Compute processes that ended, by reason (died, too_slow, not_started).",
    ["reason"],
)
MODEL_LOADS = Counter("aip_model_loads", "Versions loaded or refused, by model and outcome.", ["model", "outcome"])
VERSIONS = Gauge(
    "aip_versions",
    "Versions that this process was asked for, by what has become of them (loading, loaded, failed).",
    ["state"],
    multiprocess_mode="livesum",
)
VERSION_FAILURES = Counter(
    "aip_version_failures",
    "Failures of one version, by model, version and stage (load, call); beyond 500 versions, those of `(others)`.",
    ["model", "version", "stage"],
)
LOADED_BYTES = Gauge(
    "aip_loaded_models_bytes",
    "Bytes of the models in memory, as their files are large.",
    multiprocess_mode="livesum",
)
CACHE = Counter("aip_cache", "Cache look-ups by outcome (hit, miss, bypass, error).", ["outcome"])
JOBS_ACCEPTED = Counter("aip_jobs_accepted", "Jobs answered with 202.")
ACCEPT_GROUP = Histogram(
    "aip_accept_group_size", "Jobs that shared one commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
NOTIFICATIONS = Counter("aip_notifications", "Notifications by outcome (sent, failed, dropped).", ["outcome"])
JOBS = Gauge("aip_jobs", "Jobs that PostgreSQL holds, by state.", ["state"], multiprocess_mode="mostrecent")
QUEUE_AGE = Gauge(
    "aip_queue_oldest_seconds",
    "Age in seconds of the oldest queued job; 0 when none waits.",
    multiprocess_mode="mostrecent",
)
BROKEN = Gauge(
    "aip_invariant_broken_rows",
    "Rows that break an invariant, counted up to 10, by invariant.",
    ["invariant"],
    multiprocess_mode="mostrecent",
)
WORKERS = Gauge(
    "aip_workers", "Worker processes that have sent a heartbeat within the lease.", multiprocess_mode="mostrecent"
)
AUTHENTICATION_FAILURES = Counter(
    "aip_authentication_failures",
    "Requests without a valid key, by reason (missing, malformed, unknown, expired, revoked, ambiguous, in_url).",
    ["reason"],
)
FORBIDDEN = Counter("aip_forbidden", "Requests whose key does not give the right, by the scope needed.", ["scope"])
RATE_LIMITED = Counter("aip_rate_limited", "Requests refused by a rate limit, by whose (key, address).", ["by"])
LIMITER_DEGRADED = Gauge(
    "aip_limiter_degraded",
    "1 while Redis is away and each process keeps to its share of the limits, else 0.",
    multiprocess_mode="livemax",
)
AUDIT_DROPPED = Counter("aip_audit_dropped", "Refusals that were not written to the audit log: too many at once.")
API_PROCESSES = Gauge("aip_api_processes", "API processes that serve on this port.", multiprocess_mode="livesum")
API_PROCESS_STARTS = Counter(
    "aip_api_process_starts",
    "API processes that a parent has started, by why (first, died, replaced).",
    ["why"],
)
PREDICTION_LOG_WRITTEN = Counter("aip_prediction_log_written", "Predictions written to the prediction log.")
PREDICTION_LOG_DROPPED = Counter(
    "aip_prediction_log_dropped",
    "Predictions chosen for the prediction log and not written, by reason (full, refused, stopped).",
    ["reason"],
)
PREDICTION_LOG_CUT = Counter(
    "aip_prediction_log_cut", "Inputs and outputs too large for the prediction log, by part (input, output).", ["part"]
)
LOOP_FAILURES = Counter("aip_loop_failures", "Rounds of a background loop that raised, by loop.", ["loop"])


class Tally:
    """Events of one kind, counted by one thread in plain numbers, and added to the metrics when `flush_tallies` says.

    A metric takes a lock and walks through its buckets for each event, which costs some microseconds; this, a tenth.

    Args:
        seconds: one series of a histogram with the buckets of `LATENCY_BUCKETS`: how long each event took.
        events: counters of events.
        amounts: a counter of what each event holds (rows), if that is counted.
    """

    __slots__ = ("_amount", "_amounts", "_buckets", "_events", "_histogram", "_seconds")

    def __init__(self, seconds: Histogram, events: list[Counter], amounts: Counter | None = None) -> None:
        self._histogram = seconds
        self._events = events
        self._amounts = amounts
        self._empty()
        _TALLIES.append(self)

    def add(self, seconds: float, amount: int = 1) -> None:
        """Count one event.

        Args:
            seconds: that it took.
            amount: what it held.
        """
        self._buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds += seconds
        self._amount += amount

    def flush(self) -> None:
        """Add what was counted to the metrics; by the thread that counts."""
        count = sum(self._buckets)
        if not count:
            return
        # The library has no way of its own to add observations that were counted elsewhere.
        for bucket, number in zip(self._histogram._buckets, self._buckets, strict=True):  # noqa: SLF001
            if number:
                bucket.inc(number)
        self._histogram._sum.inc(self._seconds)  # noqa: SLF001
        for counter in self._events:
            counter.inc(count)
        if self._amounts is not None:
            self._amounts.inc(self._amount)
        self._empty()

    def _empty(self) -> None:
        self._buckets = [0] * (len(LATENCY_BUCKETS) + 1)
        self._seconds = 0.0
        self._amount = 0


_TALLIES: list[Tally] = []
MOST_LABELLED_VERSIONS = 500
_LABELLED_VERSIONS: set[tuple[str, int]] = set()
_PREDICTION_TALLIES: dict[tuple[str, int], Tally] = {}


def version_labels(model: str, version: int) -> tuple[str, str]:
    """Labels of one version, of which there are at most 500; all further ones are counted together."""
    if (model, version) not in _LABELLED_VERSIONS:
        if len(_LABELLED_VERSIONS) >= MOST_LABELLED_VERSIONS:
            return "(others)", ""
        _LABELLED_VERSIONS.add((model, version))
    return model, str(version)


def count_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count one request that was answered."""
    REQUESTS.labels(route, method, str(status)).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)


def request_tally(route: str) -> Tally:
    """A new tally of requests to a route that were answered with 200."""
    return Tally(REQUEST_SECONDS.labels(route), [REQUESTS.labels(route, "POST", "200")])


def prediction_tally(model: str, version: int) -> Tally:
    """The tally of a version's calls on the event loop, none of which asks the cache; amounts are rows."""
    found = _PREDICTION_TALLIES.get((model, version))
    if found is None:
        labels = (model, str(version))
        found = _PREDICTION_TALLIES[model, version] = Tally(
            PREDICTION_SECONDS.labels(*labels), [CACHE.labels("bypass")], PREDICTIONS.labels(*labels, "sync")
        )
    return found


def flush_tallies() -> None:
    """Add everything that was counted in tallies to the metrics; by the thread that counts."""
    for tally in _TALLIES:
        tally.flush()


def configure_logging(settings: LogSettings, service: str) -> None:
    """Send structlog's and the standard library's events to standard error, in the settings' format.

    Args:
        settings: format and level.
        service: name that each event carries (`api`, `worker`).
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = settings.format == "json"
    renderer: Any = structlog.processors.JSONRenderer() if as_json else _render_line
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Service(service),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; `name` is its `__name__`."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return log


class _Service:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: Any, _method: str, event: Any) -> dict[str, Any]:
        return {"service": self._service, **event}


def _add_request_id(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event["request_id"] = request_id
    return event


def _render_line(_logger: Any, _method: str, event: dict[str, Any]) -> str:
    """One line for a person: time, level, service, sentence, then what belongs to it as key=value."""
    clock = str(event.pop("timestamp", ""))[11:23]
    level = str(event.pop("level", "info")).upper()
    service = event.pop("service", "-")
    sentence = event.pop("event", "")
    trace = event.pop("exception", None)
    rest = " ".join(f"{key}={value}" for key, value in event.items())
    line = f"{clock} {level:<7} {service:<7} {sentence}" + (f"  {rest}" if rest else "")
    return f"{line}\n{trace}" if trace else line
