"""PostgreSQL, Redis, the cache of answers, and what is written to standard error."""

from typing import Literal

from pydantic import Field

from ai_platform.settings.group import Group, Seconds


class DatabaseSettings(Group):
    """How PostgreSQL is spoken to."""

    connect_seconds: int = Field(
        2, ge=1, le=600, description="seconds to wait for a connection (libpq counts whole seconds)"
    )
    statement_seconds: Seconds = Field(5.0, description="seconds after which a statement is given up, on both sides")
    pool_size: int = Field(
        4, ge=1, le=1_000, description="connections of one API process; group commit makes few enough"
    )


class RedisSettings(Group):
    """How Redis is spoken to."""

    connect_seconds: Seconds = Field(0.25, description="seconds to wait for a connection; Redis is never essential")
    answer_seconds: Seconds = Field(0.25, description="seconds to wait for an answer of Redis outside the broker")
    breaker_seconds: Seconds = Field(2.0, description="seconds for which a Redis that failed is not asked again")


class CacheSettings(Group):
    """Answers kept in Redis."""

    mode: Literal["auto", "on", "off"] = Field(
        "auto", description="`auto` bypasses models that cost less than a round trip to Redis, measured at load"
    )
    ttl_seconds: int = Field(3_600, ge=1, le=31_536_000, description="lifetime of a cached answer in seconds")


class LogSettings(Group):
    """What is written to standard error."""

    format: Literal["text", "json"] = Field(
        "text", description="`text` is one line an event for people, `json` for machines"
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="events below it are not written")
