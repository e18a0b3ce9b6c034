"""Every setting of the platform: one class, read from `AI_PLATFORM_*` variables, groups separated by `__`."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ai_platform.errors import InvalidSettings

PREFIX = "AI_PLATFORM_"
# What stands in examples, here and elsewhere, and is therefore no secret.
EXAMPLES = frozenset({
    "123456", "12345678", "admin", "celery", "celery_pass", "celery_password", "change-me", "change_me", "changeme",
    "default", "demo", "example", "guest", "insecure", "letmein", "none", "pass", "passw0rd", "password", "password123",
    "postgres", "qwerty", "redis", "root", "secret", "test", "todo", "your-password", "your_password", "yourpassword",
})  # fmt: skip
SECRETS = ("database_url", "database_password", "redis_url", "redis_password", "admin_key")


def countable_rate(rows_per_second: float) -> float:
    """A rate of rows that is 0, for no limit, or large enough to be counted with.

    Raises:
        ValueError: it is another.
    """
    if 0 < rows_per_second < 0.001:  # noqa: PLR2004  # as `access.gcra.SLOWEST_ROWS_PER_SECOND`, a floor above
        raise ValueError("a rate is 0, for no limit, or at least 0.001 rows a second")
    return rows_per_second


# From a millisecond: a shorter wait is none, and what divides by one still gets a number that can be counted with.
Seconds = Annotated[float, Field(ge=0.001, le=86_400)]
# No limit, or one that a bucket can count with (`access/gcra.py`).
RowsASecond = Annotated[float, Field(ge=0, le=1_000_000_000), AfterValidator(countable_rate)]
NonFinite = Literal["null", "error"]
# As a browser writes it. There is no `*`: whose pages may call is named.
Origin = Annotated[str, Field(pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ApiSettings(_Group):
    """The HTTP face."""

    host: str = Field(
        "127.0.0.1", description="address to listen on; anything but loopback needs `AI_PLATFORM_AUTH=on`"
    )
    port: Port = Field(8000, description="port to listen on, as in the quickstart")
    allowed_hosts: list[str] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description='Host names that are served (JSON list; `["*"]` for all); the default stops DNS rebinding',
    )
    cors_origins: list[Origin] = Field(
        [], description="origins whose pages may call the API from a browser (JSON list of `scheme://host[:port]`)"
    )
    accept_seconds: Seconds = Field(
        2.0, description="longest wait, in seconds, for PostgreSQL to commit an accepted job before 503 is answered"
    )
    max_queue_length: int = Field(
        256,
        ge=1,
        le=100_000,
        description="predictions of one version that may wait for a slot in one process; more get 503",
    )
    wait_ms: float = Field(
        100.0,
        ge=0,
        le=10_000,
        description="expected wait for a slot in ms that is always allowed; costly models may wait for several calls",
    )
    batch_rows: int = Field(
        256, ge=1, le=4_096, description="most rows that waiting requests of a model that gains by it share; 1 for none"
    )
    compute_processes: int = Field(
        0, ge=0, le=256, description="processes that compute models which hold the GIL; 0 for one a core"
    )
    processes: int = Field(
        1, ge=1, le=256, description="processes that answer on the one port, each with its own loaded models"
    )
    drain_seconds: Seconds = Field(
        5.0, description="seconds that open requests, and idle connections for a last one, have after SIGTERM"
    )
    shutdown_delay_seconds: float = Field(
        0.0,
        ge=0,
        le=600,
        description="seconds after SIGTERM in which it still accepts but is not ready, so that a load balancer sees it",
    )
    keep_alive_seconds: float = Field(
        75.0,
        ge=1,
        le=86_400,
        description="seconds that a connection may be idle; more than a balancer in front keeps it, 60 s by habit",
    )
    trusted_proxies: list[str] = Field(
        [], description="addresses or networks whose X-Forwarded-For is believed (JSON list); none by default"
    )


class AccessSettings(_Group):
    """Who may call, and how much."""

    refresh_seconds: float = Field(
        2.0, ge=0.05, le=4, description="seconds between two looks at the keys, so that a revocation acts within 5 s"
    )
    stale_seconds: Seconds = Field(
        600.0, description="seconds for which the keys read last are used while PostgreSQL is away; then 503"
    )
    key_rows_per_second: RowsASecond = Field(
        0.0, description="rows a second that a key may send, unless it has a limit of its own; 0 for no limit"
    )
    key_burst_rows: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="rows that a key may send at once after a pause; 0 for one second's worth",
    )
    address_rows_per_second: RowsASecond = Field(
        0.0, description="rows a second that may come from one address, whatever its keys; 0 for no limit"
    )
    address_burst_rows: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="rows that may come from one address at once after a pause; 0 for one second's worth",
    )


class LimitSettings(_Group):
    """What a request may cost."""

    body_bytes: int = Field(
        1_048_576, ge=1024, le=1_073_741_824, description="largest body in bytes (1 MiB); larger ones get 413"
    )
    connections: int = Field(
        16_384,
        ge=1,
        le=1_000_000,
        description="connections that one process holds; beyond it idle ones are closed, or the new one if none is",
    )
    buffered_mb: int = Field(
        64,
        ge=1,
        le=1_048_576,
        description="MB of bodies that come, requests that wait and unread answers in all connections of one process",
    )
    answer_seconds: Seconds = Field(
        30.0, description="seconds in which a caller must read on in an answer, 1 KiB a second; then it is cut off"
    )
    header_bytes: int = Field(
        32_768, ge=1024, le=1_048_576, description="largest header block in bytes; larger ones get 431"
    )
    url_bytes: int = Field(
        8_192, ge=256, le=1_048_576, description="longest path and query in bytes; longer ones get 414"
    )
    header_seconds: Seconds = Field(5.0, description="seconds in which a request's headers must have arrived; then 408")
    body_seconds: Seconds = Field(
        10.0, description="seconds in which a body must have arrived, or keep a pace of 64 KiB a second; then 408"
    )
    rows: int = Field(1_024, ge=1, le=1_000_000, description="most instances in one request; more get 422")
    string_bytes: int = Field(
        65_536,
        ge=1,
        le=1_073_741_824,
        description="longest text value in UTF-8 bytes; a page of text has some thousands",
    )
    waiters: int = Field(
        4_096, ge=1, le=1_000_000, description="callers that may wait for jobs in one process; more get 503"
    )
    stream_seconds: Seconds = Field(3_600, description="longest life of an event stream in seconds; clients reconnect")
    page: int = Field(200, ge=1, le=10_000, description="most jobs on one page of `GET /jobs`")
    wait_seconds: Seconds = Field(30.0, description="longest `?wait=` in seconds, below usual proxy timeouts")


class DatabaseSettings(_Group):
    """How PostgreSQL is spoken to."""

    connect_seconds: int = Field(
        2, ge=1, le=600, description="seconds to wait for a connection (libpq counts whole seconds)"
    )
    statement_seconds: Seconds = Field(5.0, description="seconds after which a statement is given up, on both sides")
    pool_size: int = Field(
        4, ge=1, le=1_000, description="connections of one API process; group commit makes few enough"
    )


class RedisSettings(_Group):
    """How Redis is spoken to."""

    connect_seconds: Seconds = Field(0.25, description="seconds to wait for a connection; Redis is never essential")
    answer_seconds: Seconds = Field(0.25, description="seconds to wait for an answer of Redis outside the broker")
    breaker_seconds: Seconds = Field(2.0, description="seconds for which a Redis that failed is not asked again")


class CacheSettings(_Group):
    """Answers kept in Redis."""

    mode: Literal["auto", "on", "off"] = Field(
        "auto", description="`auto` bypasses models that cost less than a round trip to Redis, measured at load"
    )
    ttl_seconds: int = Field(3_600, ge=1, le=31_536_000, description="lifetime of a cached answer in seconds")


class JobSettings(_Group):
    """Durable predictions."""

    lease_seconds: Seconds = Field(
        8.0, description="seconds without a heartbeat after which a worker's jobs are rescued"
    )
    heartbeat_seconds: Seconds = Field(1.0, description="seconds between two heartbeats of a worker process")
    sweep_seconds: Seconds = Field(1.0, description="seconds between two rounds of the sweeper")
    renotify_seconds: Seconds = Field(10.0, description="seconds a job may wait before it is notified of again")
    hard_limit_seconds: Seconds = Field(60.0, description="longest run of one attempt in seconds; then it is killed")
    max_attempts: int = Field(
        5, ge=1, le=100, description="tries a job has before it fails with `worker_lost` or `timeout`"
    )
    claim_batch_size: int = Field(
        256, ge=1, le=4_096, description="most jobs that one claim takes and computes together"
    )
    max_queued_per_owner: int = Field(
        10_000, ge=1, le=1_000_000_000, description="queued jobs that one owner may have; more get 429"
    )
    max_queued_jobs: int = Field(
        100_000, ge=1, le=1_000_000_000, description="queued jobs that the platform takes on; more get 503"
    )
    longest_lifetime_seconds: Seconds = Field(86_400, description="longest `?expires_in=` of a job in seconds")
    idempotency_hours: float = Field(
        24.0, ge=0.001, le=87_600, description="hours for which an Idempotency-Key is kept"
    )
    keep_days: float = Field(7.0, ge=0.001, le=3_650, description="days for which finished jobs are kept")

    @model_validator(mode="after")
    def _jobs_outlive_their_keys(self) -> "JobSettings":
        if self.keep_days * 24 < self.idempotency_hours:
            raise ValueError("keep_days must cover idempotency_hours: a key must not outlive its job")
        return self


class PredictionLogSettings(_Group):
    """A sample of the synchronous predictions, kept in PostgreSQL."""

    sample: float = Field(
        0.01, ge=0, le=1, description="share of synchronous predictions that is kept; 1 for all, 0 for none"
    )
    content: Literal["all", "outputs", "none"] = Field(
        "outputs", description="`all` keeps inputs too, which may be about people; `none` keeps neither"
    )
    row_bytes: int = Field(
        16_384,
        ge=0,
        le=1_073_741_824,
        description="largest input, and largest output, that is kept, in bytes; larger ones are left out",
    )
    rows_per_second: int = Field(
        100, ge=1, le=100_000, description="most predictions that one process logs in a second, against a full disk"
    )
    keep_days: float = Field(7.0, ge=0.001, le=3_650, description="days for which they are kept")


class WorkerSettings(_Group):
    """The Celery worker."""

    concurrency: int = Field(
        default_factory=lambda: min(os.cpu_count() or 1, 4),
        ge=1,
        le=256,
        description="child processes that compute jobs",
    )
    max_tasks_per_child: int = Field(
        10_000, ge=1, le=1_000_000_000, description="notifications after which a child is replaced, against leaks"
    )


class ModelSettings(_Group):
    """Published models and the keys that are trusted to sign them."""

    default: str = Field("iris", description="the model behind `POST /predict/`")
    refresh_seconds: Seconds = Field(1.0, description="seconds between two looks at what the aliases point to")
    load_seconds: Seconds = Field(
        30.0,
        description="seconds that a request waits for a version to load, and that trying one in a process may take",
    )
    ready: Literal["default", "all", "none"] = Field(
        "default",
        description="without what `/health/ready` is 503: the `default` model, `all` that aliases name, or `none`",
    )
    answer_seconds: float = Field(
        15.0,
        ge=0,
        le=600,
        description="seconds that publishing and moving an alias wait until every API process serves it; 0 for no wait",
    )
    loaded_mb: int = Field(
        1_024,
        ge=16,
        le=1_048_576,
        description="MB of models in memory; beyond it, those that no alias names leave, oldest use first",
    )
    affinity_header: str = Field(
        "x-caller-id",
        pattern="^[A-Za-z][A-Za-z0-9-]{0,63}$",
        description="request header by which a caller stays on one version where an alias names several",
    )
    uploads: bool = Field(default=False, description="whether models are taken over HTTP")
    upload_mb: int = Field(512, ge=1, le=65_536, description="largest model file that is taken over HTTP, in MB")
    cache_dir: Path | None = Field(
        None, description="folder of verified artifacts; default: `models` in the data folder"
    )
    trusted_keys_dir: Path | None = Field(
        None, description="folder of public keys (`*.pub`) that may sign; default: `keys` in the data folder"
    )
    signing_key_file: Path | None = Field(
        None, description="private key of `train`, made at first use; default: `keys/signing.pem` in the data folder"
    )
    validation_seconds: Seconds = Field(
        30.0, description="seconds in which a published model must load and predict; compiling it has as long again"
    )
    validation_memory_mb: int = Field(
        4_096,
        ge=512,
        le=1_048_576,
        description="most address space, in MB, of the process that tries a published model",
    )
    compile_max_mb: int = Field(
        64, ge=1, le=65_536, description="largest model file that is compiled to ONNX, and largest graph, in MB"
    )
    non_finite: NonFinite = Field(
        "null",
        description="outputs that are NaN or infinite, for which JSON has no numbers: `null`, said in the answer's"
        " `non_finite`, or `error`, and the prediction fails",
    )
    skops_trusted_types: list[str] = Field(
        [], description="types in skops files that need no signature (JSON list), beside those that skops itself trusts"
    )


class LogSettings(_Group):
    """What is written to standard error."""

    format: Literal["text", "json"] = Field(
        "text", description="`text` is one line an event for people, `json` for machines"
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="events below it are not written")


class Settings(BaseSettings):
    """All settings; `load()` reads them.

    Each secret can also be given as `NAME_FILE`, the path of a file that holds it.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    data_dir: Path = Field(Path(".ai-platform"), description="folder of everything that `up` keeps")
    database_url: SecretStr | None = Field(
        None, description="`postgresql://user@host:port/name`; when given, `up` starts no PostgreSQL"
    )
    database_password: SecretStr | None = Field(None, description="password for a `database_url` that holds none")
    redis_url: SecretStr | None = Field(None, description="`redis://host:port/0`; when given, `up` starts no Valkey")
    redis_password: SecretStr | None = Field(None, description="password for a `redis_url` that holds none")
    auth: Literal["on", "off"] = Field(
        "on", description="whether callers need a key; `up` and the compose stack turn it off, on loopback alone"
    )
    bind: str | None = Field(
        None, description="address at which a gateway publishes the API; default: `api.host`. `auth` guards it"
    )
    admin_key: SecretStr | None = Field(
        None, description="text of a first key with every scope, which `migrate` takes on; `keys generate` makes one"
    )
    failpoints_dir: Path | None = Field(
        None, description="for tests of crashes alone: folder in which failpoints are armed; leave it unset"
    )
    api: ApiSettings = Field(default_factory=ApiSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    prediction_log: PredictionLogSettings = Field(default_factory=PredictionLogSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def database_dsn(self) -> str:
        """The URL of PostgreSQL with its password.

        Raises:
            InvalidSettings: no URL is set.
        """
        return _with_password(self.database_url, self.database_password, "DATABASE_URL")

    @property
    def redis_dsn(self) -> str:
        """The URL of Redis with its password.

        Raises:
            InvalidSettings: no URL is set.
        """
        return _with_password(self.redis_url, self.redis_password, "REDIS_URL")

    @property
    def artifact_cache_dir(self) -> Path:
        """Folder of verified artifact bytes, named by their sha256."""
        return self.models.cache_dir or self.data_dir / "models"

    @property
    def trusted_keys_dir(self) -> Path:
        """Folder of the public keys that may sign artifacts."""
        return self.models.trusted_keys_dir or self.data_dir / "keys"

    @property
    def signing_key_file(self) -> Path:
        """The private key that `train` signs with."""
        return self.models.signing_key_file or self.data_dir / "keys" / "signing.pem"


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: top-level fields that win over the environment.

    Raises:
        InvalidSettings: an unknown `AI_PLATFORM_*` variable, a value of the wrong form, an unreadable secret file, or
            a secret that is one of the examples that everybody knows.
    """
    _refuse_unknown(os.environ)
    try:
        settings = Settings(**{**_secrets_from_files(os.environ), **overrides})
    except SettingsError as error:
        raise InvalidSettings(f"{error}: a JSON value is needed") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        raise InvalidSettings(f"{name}: {first['msg']}") from None
    _refuse_examples(settings)
    return settings


def variables() -> dict[str, str]:
    """Every variable that is read (the `*_FILE` forms of secrets apart), with its one-line description."""
    return dict(_variables(Settings, PREFIX))


def _variables(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Group):
            yield from _variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), field.description or ""


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [*variables(), *(f"{PREFIX}{name.upper()}_FILE" for name in SECRETS)]
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
            raise InvalidSettings(f"{name} is not a setting; the nearest one is {nearest[0]}")


def _secrets_from_files(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in SECRETS:
        variable = f"{PREFIX}{name.upper()}"
        if f"{variable}_FILE" not in environ:
            continue
        if variable in environ:
            raise InvalidSettings(f"{variable} and {variable}_FILE are both set; keep one")
        try:
            found[name] = Path(environ[f"{variable}_FILE"]).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidSettings(f"{variable}_FILE cannot be read: {error.strerror}") from None
    return found


def _refuse_examples(settings: Settings) -> None:
    for name in SECRETS:
        secret: SecretStr | None = getattr(settings, name)
        text = secret.get_secret_value() if secret is not None else ""
        password = unquote(urlsplit(text).password or "") if "://" in text else text
        if password.strip().lower() in EXAMPLES or (password.startswith("<") and password.endswith(">")):
            raise InvalidSettings(f"{PREFIX}{name.upper()} holds an example, which is no secret; make one of your own")


def _with_password(url: SecretStr | None, password: SecretStr | None, name: str) -> str:
    if url is None:
        raise InvalidSettings(f"{PREFIX}{name} is not set, and no running platform was found in the data folder")
    text = url.get_secret_value()
    if password is None:
        return text
    parts = urlsplit(text)
    user, at, host = parts.netloc.rpartition("@")
    secret = quote(password.get_secret_value(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user.split(':')[0]}:{secret}@{host}" if at else f":{secret}@{host}"))
