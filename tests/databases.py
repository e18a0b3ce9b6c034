"""What is fresh for each test: a database, an empty Redis, settings that name them."""

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from ai_platform import settings as configuration
from ai_platform.local.embedded.servers import Servers
from ai_platform.settings import Settings
from harness import Iris

REDIS_DATABASES = itertools.cycle(range(16))


def platform_settings(servers: Servers, database_url: str, iris: Iris, folder: Path) -> Settings:
    """Settings of a platform over these servers, without authentication."""
    settings = configuration.load(
        auth="off", database_url=database_url, redis_url=_empty_redis(servers), data_dir=folder
    )
    models = settings.models.model_copy(update={"trusted_keys_dir": iris.keys, "cache_dir": folder / "models"})
    worker = settings.worker.model_copy(update={"concurrency": 1})
    return settings.model_copy(update={"models": models, "worker": worker})


def _empty_redis(servers: Servers) -> str:
    """One of Valkey's sixteen databases: a worker of another test would answer this one's notifications."""
    url = servers.redis_url.rsplit("/", 1)[0] + f"/{next(REDIS_DATABASES)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def copied_database(servers: Servers) -> Iterator[str]:
    """A copy of the template, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_iris STRATEGY file_copy")
    yield in_database(servers.postgres_url, name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def in_database(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return url.rsplit("/", 1)[0] + "/" + database
