"""All settings in one class, read from `AI_PLATFORM_*` variables, groups separated by `__`."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ai_platform.errors import InvalidSettings
from ai_platform.settings.api import AccessSettings, ApiSettings, LimitSettings
from ai_platform.settings.jobs import JobSettings, PredictionLogSettings, WorkerSettings
from ai_platform.settings.models import ModelSettings
from ai_platform.settings.storage import CacheSettings, DatabaseSettings, LogSettings, RedisSettings

PREFIX = "AI_PLATFORM_"


class Settings(BaseSettings):
    """All settings; `load()` reads them.

    Each secret can also be given as `NAME_FILE`, the path of a file that holds it.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    data_dir: Path = Field(Path(".ai-platform"), description="folder of everything that `up` keeps")
    database_url: SecretStr | None = Field(
        None, description="`postgresql://user@host:port/name`; when given, `up` starts no PostgreSQL"
    )
    database_password: SecretStr | None = Field(None, description="password for a `database_url` that holds none")
    redis_url: SecretStr | None = Field(None, description="`redis://host:port/0`; when given, `up` starts no Valkey")
    redis_password: SecretStr | None = Field(None, description="password for a `redis_url` that holds none")
    auth: Literal["on", "off"] = Field(
        "on", description="whether callers need a key; `up` and the compose stack turn it off, on loopback alone"
    )
    bind: str | None = Field(
        None, description="address at which a gateway publishes the API; default: `api.host`. `auth` guards it"
    )
    admin_key: SecretStr | None = Field(
        None, description="text of a first key with every scope, which `migrate` takes on; `keys generate` makes one"
    )
    failpoints_dir: Path | None = Field(
        None, description="for tests of crashes alone: folder in which failpoints are armed; leave it unset"
    )
    api: ApiSettings = Field(default_factory=ApiSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    prediction_log: PredictionLogSettings = Field(default_factory=PredictionLogSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def database_dsn(self) -> str:
        """The URL of PostgreSQL with its password.

        Raises:
            InvalidSettings: no URL is set.
        """
        return _with_password(self.database_url, self.database_password, "DATABASE_URL")

    @property
    def redis_dsn(self) -> str:
        """The URL of Redis with its password.

        Raises:
            InvalidSettings: no URL is set.
        """
        return _with_password(self.redis_url, self.redis_password, "REDIS_URL")

    @property
    def artifact_cache_dir(self) -> Path:
        """Folder of verified artifact bytes, named by their sha256."""
        return self.models.cache_dir or self.data_dir / "models"

    @property
    def trusted_keys_dir(self) -> Path:
        """Folder of the public keys that may sign artifacts."""
        return self.models.trusted_keys_dir or self.data_dir / "keys"

    @property
    def signing_key_file(self) -> Path:
        """The private key that `train` signs with."""
        return self.models.signing_key_file or self.data_dir / "keys" / "signing.pem"


def _with_password(url: SecretStr | None, password: SecretStr | None, name: str) -> str:
    if url is None:
        raise InvalidSettings(f"{PREFIX}{name} is not set, and no running platform was found in the data folder")
    text = url.get_secret_value()
    if password is None:
        return text
    parts = urlsplit(text)
    user, at, host = parts.netloc.rpartition("@")
    secret = quote(password.get_secret_value(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user.split(':')[0]}:{secret}@{host}" if at else f":{secret}@{host}"))
