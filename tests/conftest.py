"""Real servers for every test that wants them: one PostgreSQL and one Valkey a process, a database a test."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings

import ai_platform
from ai_platform import settings as configuration
from ai_platform.local.embedded.servers import Servers, running_servers
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.schema import migrate
from databases import copied_database, in_database, platform_settings
from harness import Iris, Platform, eventually, publish_iris, train_iris, train_other_iris

# `make fuzz` asks for the long one with `--hypothesis-profile=fuzz`.
hypothesis_settings.register_profile("short", max_examples=60, deadline=None)
hypothesis_settings.register_profile("fuzz", max_examples=2_000, deadline=None, print_blob=True)
hypothesis_settings.load_profile("short")


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
    return made_once(tmp_path_factory, "iris", train_iris)


@pytest.fixture(scope="session")
def other_iris(iris: Iris, tmp_path_factory: pytest.TempPathFactory) -> Iris:
    return made_once(tmp_path_factory, "other-iris", lambda folder: train_other_iris(iris, folder))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Iris]) -> Iris:
    """What one of the processes that run the tests makes for all of them: training and validating takes seconds."""
    is_alone = "PYTEST_XDIST_WORKER" not in os.environ
    folder = (factory.getbasetemp() if is_alone else factory.getbasetemp().parent) / name
    done = folder / "made.pickle"
    try:
        folder.mkdir()
    except FileExistsError:
        eventually(done.exists, 120, f"another process has made {name}")
    else:
        written = folder / "writing.pickle"
        written.write_bytes(pickle.dumps(make(folder)))
        written.rename(done)
    made: Iris = pickle.loads(done.read_bytes())
    return made


@pytest.fixture(scope="session")
def template_database(servers: Servers, iris: Iris) -> str:
    """A migrated database with iris version 1 published; tests get copies."""
    url = servers.postgres_url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_iris")
    template = in_database(url, "template_iris")
    settings = configuration.load(database_url=template)
    migrate(Database.of(settings))
    publish_iris(settings, iris)
    return template


@pytest.fixture
def database_url(servers: Servers, template_database: str) -> Iterator[str]:
    yield from copied_database(servers)


@pytest.fixture(scope="module")
def module_settings(
    servers: Servers, template_database: str, iris: Iris, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """The same for a platform that the tests of one module share, because starting one takes seconds of a core."""
    for url in copied_database(servers):
        yield platform_settings(servers, url, iris, tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="session")
def shared_database_url(servers: Servers, template_database: str) -> Iterator[str]:
    yield from copied_database(servers)


@pytest.fixture
def settings(servers: Servers, database_url: str, iris: Iris, tmp_path: Path) -> Settings:
    """Settings of a platform with a database of its own and an empty Redis."""
    return platform_settings(servers, database_url, iris, tmp_path)


@pytest.fixture(scope="session")
def platform(
    servers: Servers, shared_database_url: str, iris: Iris, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A whole platform in processes of its own, shared by all tests that only ask."""
    settings = platform_settings(servers, shared_database_url, iris, tmp_path_factory.mktemp("platform"))
    with Platform.running(settings) as running:
        yield running


@pytest.fixture
def spawned() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python programs in sessions of their own, and ends what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(Path(ai_platform.__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
