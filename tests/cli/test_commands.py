"""The commands, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from ai_platform.local.embedded.servers import Servers
from ai_platform.settings import Settings
from harness import Iris, Platform, environment

ROOT = Path(__file__).parents[2]


def run(*command: str, settings: Settings | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    variables = environment(settings) if settings else dict(os.environ)
    return subprocess.run(
        [sys.executable, *command], env={**variables, "COLUMNS": "120"}, cwd=cwd, text=True, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip


def cli(*arguments: str, settings: Settings, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run("-m", "ai_platform.cli", *arguments, settings=settings, cwd=cwd)


def test_the_smoke_test_passes_against_a_running_platform(platform: Platform) -> None:
    done = run(str(ROOT / "test_api.py"), "--url", platform.url)
    assert done.returncode == 0, done.stdout
    assert "5 of 5 steps passed" in done.stdout


def test_the_smoke_test_says_what_to_do_when_nothing_answers() -> None:
    done = run(str(ROOT / "test_api.py"), "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "Is `make up` running?" in done.stdout


def test_doctor_finds_a_running_platform_in_order(platform: Platform) -> None:
    done = cli("doctor", settings=platform.settings)
    # Test servers run without fsync, which is what doctor is there to tell.
    assert done.stdout.count("FAIL") == 1, done.stdout
    assert "fsync is off" in done.stdout
    assert "iris version 1, verified" in done.stdout


def test_doctor_says_what_to_do_about_each_failure(settings: Settings, iris: Iris, tmp_path: Path) -> None:
    with psycopg.connect(settings.database_dsn, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    done = cli("doctor", settings=settings)
    assert done.returncode == 1
    assert "run `ai-platform migrate`" in done.stdout
    assert "no worker sends heartbeats" in done.stdout


def test_doctor_reports_a_broken_invariant(settings: Settings) -> None:
    with psycopg.connect(settings.database_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO idempotency_keys VALUES ('a', 'k', 'h', gen_random_uuid(), now() + interval '1 hour')"
        )
    done = cli("doctor", settings=settings)
    assert "every idempotency key that is kept names a job of its owner" in " ".join(done.stdout.split())


def test_migrating_twice_changes_nothing(settings: Settings) -> None:
    assert "nothing to do" in cli("migrate", settings=settings).stdout


def test_two_migrations_at_once_both_end_well(servers: Servers, settings: Settings) -> None:
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE fresh")
    try:
        fresh = settings.model_copy(update={"database_url": SecretStr(_of(servers, "fresh"))})
        both = [
            subprocess.Popen([sys.executable, "-m", "ai_platform.cli", "migrate"], env=environment(fresh))
            for _ in range(2)
        ]
        assert [one.wait(30) for one in both] == [0, 0]
    finally:
        with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE fresh WITH (FORCE)")


def test_training_writes_a_signed_file_and_publishes_the_next_version(settings: Settings, tmp_path: Path) -> None:
    own_keys = settings.model_copy(
        update={"models": settings.models.model_copy(update={"signing_key_file": tmp_path / "private" / "key.pem"})}
    )
    done = cli("train", settings=own_keys, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "published: iris version 2" in done.stdout
    assert "cv accuracy" in done.stdout
    for name in ("model.pkl", "model.pkl.manifest.json", "model.pkl.manifest.sig"):
        assert (tmp_path / name).exists()


def test_training_without_a_platform_writes_the_file_and_says_so(settings: Settings, tmp_path: Path) -> None:
    alone = settings.model_copy(update={"database_url": None, "redis_url": None})
    done = cli("train", settings=alone, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not published" in done.stdout
    assert (tmp_path / "model.pkl").exists()


def test_training_if_missing_leaves_a_published_model_alone(settings: Settings) -> None:
    assert "published already" in cli("train", "--if-missing", settings=settings).stdout


@pytest.mark.parametrize("command", ["api", "worker", "sweeper", "migrate", "doctor"])
def test_a_misspelt_setting_stops_every_command_with_one_sentence(settings: Settings, command: str) -> None:
    variables = {**environment(settings), "AI_PLATFORM_LOG__LEVVEL": "info"}
    done = subprocess.run(
        [sys.executable, "-m", "ai_platform.cli", command], env=variables, text=True, capture_output=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "AI_PLATFORM_LOG__LEVEL" in done.stderr
    assert "Traceback" not in done.stderr


def _of(servers: Servers, database: str) -> str:
    return servers.postgres_url.rsplit("/", 1)[0] + "/" + database
