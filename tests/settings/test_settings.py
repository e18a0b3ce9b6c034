"""Settings: what is read, what is refused, what stays secret."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from ai_platform.errors import InvalidSettings
from ai_platform.settings import EXAMPLES, SECRETS, Settings, load, variables

pytestmark = pytest.mark.quick


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
    monkeypatch.setenv("AI_PLATFORM_REDIS_PASSWORD", "hush")
    assert load().redis_dsn == "redis://:hush@cache:6379/0"


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_DATABASE_URL", "postgresql://me:hush@db/x")
    assert "hush" not in repr(load())


@pytest.mark.parametrize("example", ["changeme", "Password", "celery_password", "<your password>", "secret"])
@pytest.mark.parametrize("way", ["variable", "file", "url"])
def test_a_start_with_an_example_for_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: str, way: str
) -> None:
    name = "AI_PLATFORM_DATABASE_URL" if way == "url" else "AI_PLATFORM_DATABASE_PASSWORD"
    if way == "file":
        (tmp_path / "secret").write_text(f"{example}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    else:
        monkeypatch.setenv(name, f"postgresql://me:{quote(example)}@db/x" if way == "url" else example)
    with pytest.raises(InvalidSettings, match=f"^{name} holds an example") as refusal:
        load()
    assert example not in refusal.value.detail.replace("secret; make", "")


def test_no_secret_stands_in_the_examples_of_this_repository() -> None:
    """Whatever somebody adds there as a value must also be refused at the start."""
    root = Path(__file__).parents[2]
    for file in (root / ".env.example", root / "compose.yaml"):
        text = file.read_text(encoding="utf-8")
        written = re.findall(r"^#?\s*\w*(?:PASSWORD|SECRET|_KEY)(?:_FILE)?[=:] *(\S+)", text, re.MULTILINE)
        values = [value for value in written if not value.startswith(("${", "./", "/"))]
        assert [value for value in values if value.lower() not in EXAMPLES] == [], file


def test_every_secret_can_be_given_as_a_file() -> None:
    fields = Settings.model_fields
    assert {name for name, field in fields.items() if "SecretStr" in str(field.annotation)} == set(SECRETS)


def test_every_setting_says_what_it_is_for() -> None:
    assert all(description for description in variables().values())


def test_keys_that_would_outlive_their_jobs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_JOBS__KEEP_DAYS", "0.5")
    with pytest.raises(InvalidSettings, match="idempotency_hours"):
        load()
