"""The passwords of the compose stack; no engine is needed, so this belongs to the default suite."""

import hashlib
import importlib.util
import os
import stat
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "secrets" / "make_secrets.py"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("PLATFORM", "POSTGRES", "REDIS"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setattr(module, name, folder)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    return module


def written(tmp_path: Path) -> dict[str, str]:
    return {str(path.relative_to(tmp_path)): path.read_text() for path in sorted(tmp_path.rglob("*")) if path.is_file()}


def test_the_first_start_makes_passwords_and_the_next_keeps_them(secrets: ModuleType, tmp_path: Path) -> None:
    assert secrets.main() == 0
    first = written(tmp_path)
    assert first["postgres/password"] == first["platform/database_password"]
    assert len(first["platform/database_password"]) >= 32
    assert first["platform/database_password"] != first["platform/redis_password"]
    assert secrets.main() == 0
    assert written(tmp_path) == first


def test_only_their_owner_reads_them_and_redis_gets_no_password_but_its_hash(
    secrets: ModuleType, tmp_path: Path
) -> None:
    secrets.main()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o400}
    password = (tmp_path / "platform" / "redis_password").read_text()
    users = (tmp_path / "redis" / "users.acl").read_text()
    assert password not in users
    assert f"#{hashlib.sha256(password.encode()).hexdigest()}" in users


def test_given_passwords_win_and_poor_ones_are_refused(
    secrets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AI_PLATFORM_DATABASE_PASSWORD", "correct-horse-battery")
    assert secrets.main() == 0
    assert written(tmp_path)["postgres/password"] == "correct-horse-battery"
    monkeypatch.setenv("AI_PLATFORM_DATABASE_PASSWORD", "celery")
    assert secrets.main() == 1
    assert "database_password must have at least 16" in capsys.readouterr().err
    assert written(tmp_path)["postgres/password"] == "correct-horse-battery"
