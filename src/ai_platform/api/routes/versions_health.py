"""How many of the versions that aliases name are loaded, loading or failed, and which of them trouble this process."""

from typing import Any

from ai_platform.errors import ModelNotReady
from ai_platform.models.registry.aliases import PRODUCTION
from ai_platform.predictions.catalog.conditions import Condition
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.settings import ModelSettings

# Versions that are named one by one in an answer; the numbers count all of them.
MOST_NAMED = 50


def counts(directory: ModelDirectory) -> dict[str, int]:
    """Versions that aliases name: how many there are, and how many are loaded, loading and failed."""
    states = [found.state for found in _named(directory)]
    return {"named": len(states), **{state: states.count(state) for state in ("loaded", "loading", "failed")}}


def versions_body(directory: ModelDirectory) -> dict[str, Any]:
    """The same numbers, with the versions that failed or whose calls failed lately, and why."""
    troubled = [found for found in directory.conditions.all() if found.state == "failed" or found.fails_calls]
    return {**counts(directory), "troubled": [_body(found) for found in troubled[:MOST_NAMED]]}


def require_versions(directory: ModelDirectory, settings: ModelSettings) -> None:
    """Refuse while a version is not loaded that must be.

    Raises:
        ModelNotReady: it is not; the sentence names it.
    """
    if settings.ready == "default":
        directory.current(settings.default, PRODUCTION)
    elif settings.ready == "all":
        directory.require_looked()
        missing = [found for found in _named(directory) if found.state != "loaded"]
        if missing:
            first = missing[0]
            raise ModelNotReady(
                f"{len(missing)} versions that aliases name are not loaded;"
                f" version {first.version} of {first.model!r} is {first.state}"
            )


def _named(directory: ModelDirectory) -> list[Condition]:
    return [directory.conditions.of(key) or Condition(*key) for key in directory.named()]


def _body(found: Condition) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": found.model,
        "version": found.version,
        "state": found.state,
        "why": found.why,
        "failures": found.failures,
        "failed_calls": found.failed_calls,
    }
    if found.state == "failed":
        body["next_try_in_seconds"] = round(found.retry_seconds, 1)
    return body
