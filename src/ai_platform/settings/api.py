"""The HTTP face: addresses, limits of requests, and who may call how much."""

from pydantic import Field

from ai_platform.settings.group import Group, Origin, Port, RowsPerSecond, Seconds


class ApiSettings(Group):
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


class AccessSettings(Group):
    """Who may call, and how much."""

    refresh_seconds: float = Field(
        2.0, ge=0.05, le=4, description="seconds between two looks at the keys, so that a revocation acts within 5 s"
    )
    stale_seconds: Seconds = Field(
        600.0, description="seconds for which the keys read last are used while PostgreSQL is away; then 503"
    )
    key_rows_per_second: RowsPerSecond = Field(
        0.0, description="rows a second that a key may send, unless it has a limit of its own; 0 for no limit"
    )
    key_burst_rows: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="rows that a key may send at once after a pause; 0 for one second's worth",
    )
    address_rows_per_second: RowsPerSecond = Field(
        0.0, description="rows a second that may come from one address, whatever its keys; 0 for no limit"
    )
    address_burst_rows: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="rows that may come from one address at once after a pause; 0 for one second's worth",
    )


class LimitSettings(Group):
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
