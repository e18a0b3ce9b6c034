"""Real servers for every test that wants them: one PostgreSQL and one Valkey a process, a database a test."""

import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import settings as hypothesis_settings

from ai_platform import settings as configuration
from ai_platform.local.servers import Servers, running_servers
from ai_platform.settings import Settings
from ai_platform.storage.schema import migrate
from harness import Iris, Platform, publish_iris, train_iris

# `make fuzz` asks for the long one with `--hypothesis-profile=fuzz`.
hypothesis_settings.register_profile("short", max_examples=60, deadline=None)
hypothesis_settings.register_profile("fuzz", max_examples=2_000, deadline=None, print_blob=True)
hypothesis_settings.load_profile("short")

REDIS_DATABASES = itertools.cycle(range(16))


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> None:
    for name in list(os.environ):
        if name.startswith(configuration.PREFIX):
            del os.environ[name]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with running_servers(postgres_settings={"max_connections": "200"}) as running:
        yield running


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iris:
    return train_iris(tmp_path_factory.mktemp("iris"))


@pytest.fixture(scope="session")
def template_database(servers: Servers, iris: Iris) -> str:
    """A migrated database with iris version 1 published; tests get copies."""
    url = servers.postgres_url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_iris")
    template = _of(url, "template_iris")
    settings = configuration.load(database_url=template)
    migrate(settings)
    publish_iris(settings, iris)
    return template


@pytest.fixture
def database_url(servers: Servers, template_database: str) -> Iterator[str]:
    yield from _copy(servers)


@pytest.fixture(scope="module")
def module_settings(
    servers: Servers, template_database: str, iris: Iris, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """The same for a platform that the tests of one module share, because starting one takes seconds of a core."""
    for url in _copy(servers):
        yield _settings(servers, url, iris, tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="session")
def shared_database_url(servers: Servers, template_database: str) -> Iterator[str]:
    yield from _copy(servers)


@pytest.fixture
def settings(servers: Servers, database_url: str, iris: Iris, tmp_path: Path) -> Settings:
    """Settings of a platform with a database of its own and an empty Redis."""
    return _settings(servers, database_url, iris, tmp_path)


@pytest.fixture(scope="session")
def platform(
    servers: Servers, shared_database_url: str, iris: Iris, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A whole platform in processes of its own, shared by all tests that only ask."""
    settings = _settings(servers, shared_database_url, iris, tmp_path_factory.mktemp("platform"))
    with Platform.running(settings) as running:
        yield running


def _settings(servers: Servers, database_url: str, iris: Iris, folder: Path) -> Settings:
    settings = configuration.load(database_url=database_url, redis_url=_empty_redis(servers), data_dir=folder)
    models = settings.models.model_copy(update={"trusted_keys_dir": iris.keys, "cache_dir": folder / "models"})
    worker = settings.worker.model_copy(update={"concurrency": 1})
    return settings.model_copy(update={"models": models, "worker": worker})


def _empty_redis(servers: Servers) -> str:
    """One of Valkey's sixteen databases: a worker of another test would answer this one's bells."""
    url = servers.redis_url.rsplit("/", 1)[0] + f"/{next(REDIS_DATABASES)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def _copy(servers: Servers) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_iris STRATEGY file_copy")
    yield _of(servers.postgres_url, name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _of(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + database
