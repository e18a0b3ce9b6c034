"""Reading the settings from the environment, and refusing what would be read as something else."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import SettingsError

from ai_platform.errors import InvalidSettings
from ai_platform.settings.group import Group
from ai_platform.settings.platform import PREFIX, Settings

# What stands in examples, here and elsewhere, and is therefore no secret.
EXAMPLES = frozenset({
    "123456", "12345678", "admin", "celery", "celery_pass", "celery_password", "change-me", "change_me", "changeme",
    "default", "demo", "example", "guest", "insecure", "letmein", "none", "pass", "passw0rd", "password", "password123",
    "postgres", "qwerty", "redis", "root", "secret", "test", "todo", "your-password", "your_password", "yourpassword",
})  # fmt: skip
SECRETS = ("database_url", "database_password", "redis_url", "redis_password", "admin_key")


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
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
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
