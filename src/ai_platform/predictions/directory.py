"""Which version answers to a name: a look-up in memory, kept fresh by a thread, never a wait for PostgreSQL."""

import random
import threading
import time
from collections.abc import Callable

from ai_platform.errors import ModelNotFound, ModelNotReady, PlatformError
from ai_platform.models.aliases import PRODUCTION, Alias, Target, choose, draw_for
from ai_platform.models.announcements import Announcements
from ai_platform.predictions.calls import VersionKey
from ai_platform.predictions.compute import Computing
from ai_platform.predictions.prepared import PreparedModel
from ai_platform.predictions.versions import VersionSource
from ai_platform.settings import Settings
from ai_platform.telemetry import LOOP_FAILURES, logger

log = logger(__name__)

# A refused version is looked at again after this long: its signer may have become trusted meanwhile.
REFUSED_SECONDS = 60.0

AliasKey = tuple[str, str]


class _Route:
    """What one alias serves now: versions that are in memory, with their shares.

    Args:
        model: the model's name.
        targets: the versions and weights that are served.
        prepared: the loaded versions, by number.
    """

    def __init__(self, model: str, targets: tuple[Target, ...], prepared: dict[int, PreparedModel]) -> None:
        self.targets = targets
        self.prepared = prepared
        self.only = prepared[targets[0].version] if len(targets) == 1 else None
        self._model = model

    def choose(self, caller: bytes | None) -> PreparedModel:
        """The version for a caller: always the same for the same one, and any for a caller without a name."""
        if self.only is not None:
            return self.only
        draw = random.getrandbits(32) if caller is None else draw_for(self._model, caller)  # no secret
        return self.prepared[choose(self.targets, draw)]


class ModelDirectory:
    """The versions that aliases name, each loaded and warm before it is named here.

    An alias whose new versions cannot all be loaded goes on serving the old ones.

    Args:
        settings: the platform's settings.
        name: of the process, for `pg_stat_activity`.
        computing: where synchronous predictions are computed; None in a process that answers none.

    Attributes:
        is_complete: whether all that the aliases named was looked at once, and loaded if it could be.
        on_change: called with each version that is taken up.
    """

    def __init__(self, settings: Settings, name: str, computing: Computing | None = None) -> None:
        self._source = VersionSource(settings, name, computing)
        self._default = settings.models.default
        self._refresh_seconds = settings.models.refresh_seconds
        self._announcements = Announcements(settings)
        self._routes: dict[AliasKey, _Route] = {}
        self._refused: dict[VersionKey, float] = {}
        self._known: frozenset[AliasKey] = frozenset()
        self._looked = False
        self.is_complete = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh_for_ever, name="model-directory", daemon=True)
        self.on_change: list[Callable[[PreparedModel], None]] = []

    def start(self) -> None:
        """Begin to follow the registry."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following it."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._source.close()

    def current(self, name: str, alias: str = PRODUCTION, caller: bytes | None = None) -> PreparedModel:
        """The version that answers for an alias, from memory.

        Args:
            name: the model's name.
            alias: the alias.
            caller: what keeps one caller on one version, where an alias names several; None for no matter which.

        Raises:
            ModelNotFound: nothing of that name is published.
            ModelNotReady: it is published, and cannot predict yet.
        """
        route = self._routes.get((name, alias))
        if route is not None:
            return route.only or route.choose(caller)
        if (name, alias) in self._known or not self._looked:
            raise ModelNotReady(f"model {name!r} is not loaded yet")
        if any(known == name for known, _alias in self._known):
            raise ModelNotFound(f"model {name!r} has no alias {alias!r}")
        raise ModelNotFound(f"no model is named {name!r}")

    def held(self, name: str, version: int) -> PreparedModel | None:
        """A given version, if it is in memory already."""
        return self._source.pool.peek((name, version))

    def load(self, name: str, version: int) -> PreparedModel:
        """A given version, loaded by this call if need be; takes as long as that takes.

        Raises:
            ModelNotFound: it is not published.
            ArtifactRefused: its bytes are not to be trusted, or do not load.
            StorageUnavailable: PostgreSQL is away.
        """
        return self._source.load(name, version)

    def summary(self) -> list[PreparedModel]:
        """One version of each model that can answer now: production's first, or the first of any alias."""
        chosen: dict[str, PreparedModel] = {}
        for (name, alias), route in sorted(self._routes.items(), key=lambda item: (item[0][1] != PRODUCTION, item[0])):
            del alias
            chosen.setdefault(name, route.prepared[route.targets[0].version])
        return [chosen[name] for name in sorted(chosen)]

    def refresh(self) -> None:
        """Look once at what the aliases name, load what is new, and then let go of what nothing names.

        Raises:
            StorageUnavailable: PostgreSQL is away; what is loaded goes on answering.
        """
        aliases = self._source.aliases()
        self._known = frozenset((alias.model, alias.name) for alias in aliases)
        self._looked = True
        # The default model first: readiness waits for it, and a costly model may wait for processes to start.
        for alias in sorted(aliases, key=lambda alias: alias.model != self._default):
            present = self._routes.get((alias.model, alias.name))
            if present is None or present.targets != alias.targets:
                self._take_up(alias)
        if self._routes.keys() - self._known:
            self._routes = {key: route for key, route in self._routes.items() if key in self._known}
        self._name_what_is_needed(aliases)
        self._source.drop_deleted()
        self.is_complete = True

    def _take_up(self, alias: Alias) -> None:
        prepared: dict[int, PreparedModel] = {}
        for target in alias.targets:
            found = self._loaded(alias.model, target.version)
            if found is None:
                return
            prepared[target.version] = found
        route = _Route(alias.model, alias.targets, prepared)
        # One assignment: a request sees the old map or the new one.
        self._routes = {**self._routes, (alias.model, alias.name): route}
        for one in prepared.values():
            for notify in self.on_change:
                notify(one)

    def _loaded(self, model: str, version: int) -> PreparedModel | None:
        if self._refused.get((model, version), 0.0) > time.monotonic():
            return None
        try:
            return self._source.pool.get((model, version))
        except PlatformError as error:
            if error.code == "artifact_refused":
                self._refused[model, version] = time.monotonic() + REFUSED_SECONDS
            log.error("version not taken up; what was served goes on", model=model, version=version, why=error.detail)
            return None

    def _name_what_is_needed(self, aliases: list[Alias]) -> None:
        named = {(alias.model, target.version) for alias in aliases for target in alias.targets}
        served = {(name, version) for (name, _alias), route in self._routes.items() for version in route.prepared}
        self._source.pool.name(frozenset(named | served))

    def _refresh_for_ever(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001  # the loop must live; the failure is logged and counted
                LOOP_FAILURES.labels("model-directory").inc()
                log.warning("models not refreshed", why=str(error))
            self._announcements.wait(self._refresh_seconds - (time.monotonic() - begun), self._stop)
        self._announcements.close()
