"""Which version answers: from memory, or loaded first."""

import asyncio
import time
from dataclasses import dataclass

from ai_platform.errors import ArtifactRefused, DeadlineExceeded, ModelNotReady, StorageUnavailable
from ai_platform.models.registry.aliases import PRODUCTION
from ai_platform.predictions.catalog.directory import ModelDirectory
from ai_platform.predictions.model.prepared import PreparedModel

# A request for a version that is new here waits this long for it, and gets 503 then; most are loaded much sooner.
_FIRST_LOAD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a caller names.

    Attributes:
        model: the model's name.
        version: its number, if one is named.
        alias: the alias, if none is.
    """

    model: str
    version: int | None = None
    alias: str = PRODUCTION


class Resolver:
    """Finds the version that a target names.

    Args:
        directory: which versions are in memory, and what aliases name.
        load_seconds: longest wait for a version that must be loaded first.
    """

    def __init__(self, directory: ModelDirectory, load_seconds: float) -> None:
        self._directory = directory
        self._load_seconds = load_seconds

    def held(self, target: Target, affinity: bytes | None = None) -> PreparedModel | None:
        """The version that answers, from memory; None when it is asked for by number and must be loaded.

        Args:
            target: what is named.
            affinity: what keeps one caller on one version, where an alias names several.

        Raises:
            ModelNotFound: there is no such model or alias.
            ModelNotReady: it cannot predict now.
        """
        if target.version is not None:
            return self._directory.held(target.model, target.version)
        return self._directory.current(target.model, target.alias, affinity)

    async def load(self, target: Target, affinity: bytes | None = None, deadline: float | None = None) -> PreparedModel:
        """The version that answers, loaded first if it must be.

        Args:
            target: what is named.
            affinity: as for `held`.
            deadline: of the request, on the monotonic clock, in seconds; None for none.

        Raises:
            DeadlineExceeded: the deadline passed first.
            ModelNotFound: there is no such model, alias or version.
            ModelNotReady: it cannot predict now, or is not loaded within `models.load_seconds`.
        """
        if target.version is None:
            await self._until_loaded(target)
        return self.held(target, affinity) or await self._pinned(target, deadline)

    async def _until_loaded(self, target: Target) -> None:
        """Wait a little while what an alias names is being loaded for the first time; no longer when it fails."""
        until = time.monotonic() + _FIRST_LOAD_SECONDS
        while self._directory.is_loading(target.model, target.alias) and time.monotonic() < until:  # noqa: ASYNC110  # threads bring it about
            await asyncio.sleep(0.02)

    async def _pinned(self, target: Target, deadline: float | None) -> PreparedModel:
        assert target.version is not None
        named = f"version {target.version} of {target.model!r}"
        try:
            async with asyncio.timeout(_shorter(self._load_seconds, deadline)):
                # Whoever else asks for it waits for the same load, so one caller who leaves must not end it.
                return await asyncio.shield(asyncio.wrap_future(self._directory.ask(target.model, target.version)))
        except TimeoutError:
            require_time(deadline)
            raise ModelNotReady(f"{named} is still loading") from None
        except (ArtifactRefused, StorageUnavailable) as error:
            raise ModelNotReady(f"{named} cannot be loaded now: {error.detail}") from error


def require_time(deadline: float | None) -> None:
    """Refuse what comes too late.

    Raises:
        DeadlineExceeded: the deadline has passed.
    """
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded("the deadline passed before the prediction was made")


def _shorter(seconds: float, deadline: float | None) -> float:
    return seconds if deadline is None else min(seconds, max(0.0, deadline - time.monotonic()))
