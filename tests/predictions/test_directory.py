"""How the directory of models follows the registry."""

from pydantic import SecretStr

from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.settings import Settings
from ai_platform.telemetry import LOOP_FAILURES
from harness import eventually, free_port


def test_a_look_that_fails_is_told_of_at_once_and_not_a_period_later(settings: Settings) -> None:
    nowhere = SecretStr(f"postgresql://x:y@127.0.0.1:{free_port()}/z")
    models = settings.models.model_copy(update={"refresh_seconds": 600.0})
    directory = ModelDirectory.of(settings.model_copy(update={"database_url": nowhere, "models": models}), "test")
    failures = LOOP_FAILURES.labels("model-directory")._value
    before = failures.get()
    directory.start()
    try:
        eventually(lambda: failures.get() == before + 1, 30, "the failure is counted")
    finally:
        directory.stop()
