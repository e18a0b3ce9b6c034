"""Settings: what is read, what is refused, what stays secret."""

from pathlib import Path

import pytest

from ai_platform.errors import InvalidSettings
from ai_platform.settings import load, variables


def test_a_misspelt_variable_stops_the_start_with_its_nearest_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_JOBS__LEASE_SECOND", "8")
    with pytest.raises(
        InvalidSettings, match=r"AI_PLATFORM_JOBS__LEASE_SECOND is not .* AI_PLATFORM_JOBS__LEASE_SECONDS"
    ):
        load()


def test_groups_are_read_by_double_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_JOBS__LEASE_SECONDS", "2.5")
    monkeypatch.setenv("AI_PLATFORM_API__ALLOWED_HOSTS", '["example.org"]')
    settings = load()
    assert settings.jobs.lease_seconds == 2.5
    assert settings.api.allowed_hosts == ["example.org"]


@pytest.mark.parametrize(("name", "value"), [("JOBS__LEASE_SECONDS", "soon"), ("API__PORT", "0"), ("CACHE__MODE", "x")])
def test_a_value_of_the_wrong_form_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"AI_PLATFORM_{name}", value)
    with pytest.raises(InvalidSettings, match=f"^AI_PLATFORM_{name}: "):
        load()


def test_a_list_that_is_not_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_API__ALLOWED_HOSTS", "example.org")
    with pytest.raises(InvalidSettings, match="JSON"):
        load()


def test_a_secret_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p@ss/word\n")
    monkeypatch.setenv("AI_PLATFORM_DATABASE_URL", "postgresql://me@db:5432/jobs")
    monkeypatch.setenv("AI_PLATFORM_DATABASE_PASSWORD_FILE", str(tmp_path / "secret"))
    assert load().database_dsn == "postgresql://me:p%40ss%2Fword@db:5432/jobs"


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AI_PLATFORM_REDIS_PASSWORD", "one")
    monkeypatch.setenv("AI_PLATFORM_REDIS_PASSWORD_FILE", str(tmp_path))
    with pytest.raises(InvalidSettings, match="both set"):
        load()


def test_a_secret_file_that_cannot_be_read_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_REDIS_PASSWORD_FILE", "/nowhere")
    with pytest.raises(InvalidSettings, match="AI_PLATFORM_REDIS_PASSWORD_FILE cannot be read"):
        load()


def test_a_password_is_put_into_a_url_that_names_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_REDIS_URL", "redis://cache:6379/0")
    monkeypatch.setenv("AI_PLATFORM_REDIS_PASSWORD", "secret")
    assert load().redis_dsn == "redis://:secret@cache:6379/0"


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_DATABASE_URL", "postgresql://me:hush@db/x")
    assert "hush" not in repr(load())


def test_every_setting_says_what_it_is_for() -> None:
    assert all(description for description in variables().values())


def test_keys_that_would_outlive_their_jobs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_JOBS__KEEP_DAYS", "0.5")
    with pytest.raises(InvalidSettings, match="idempotency_hours"):
        load()
