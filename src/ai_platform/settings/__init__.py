"""Every setting of the platform: a group a file, one class for all, one function that reads them."""

from ai_platform.settings.api import AccessSettings, ApiSettings, LimitSettings
from ai_platform.settings.environment import EXAMPLES, SECRETS, load, variables
from ai_platform.settings.group import NonFinite
from ai_platform.settings.jobs import JobSettings, PredictionLogSettings, WorkerSettings
from ai_platform.settings.models import ModelSettings
from ai_platform.settings.platform import PREFIX, Settings
from ai_platform.settings.storage import CacheSettings, DatabaseSettings, LogSettings, RedisSettings

__all__ = [
    "EXAMPLES", "PREFIX", "SECRETS", "AccessSettings", "ApiSettings", "CacheSettings", "DatabaseSettings",
    "JobSettings", "LimitSettings", "LogSettings", "ModelSettings", "NonFinite", "PredictionLogSettings",
    "RedisSettings", "Settings", "WorkerSettings", "load", "variables",
]  # fmt: skip
