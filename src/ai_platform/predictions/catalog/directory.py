"""Which version answers to a name: a look-up in memory, kept fresh by a thread, never a wait for PostgreSQL."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from ai_platform.errors import ArtifactRefused, ModelNotFound, ModelNotReady, PlatformError
from ai_platform.models.registry.aliases import PRODUCTION, Alias, Target, choose, draw_for
from ai_platform.models.registry.announcements import Announcements
from ai_platform.predictions.catalog.loading import LoadQueue
from ai_platform.predictions.catalog.serving_report import ServingReport
from ai_platform.predictions.catalog.versions import VersionSource
from ai_platform.predictions.compute.computing import Computing
from ai_platform.predictions.compute.ipc import Hello
from ai_platform.predictions.compute.pending import VersionKey
from ai_platform.predictions.compute.trial import TrialProcess
from ai_platform.predictions.model.prepared import PreparedModel
from ai_platform.processes.background import ThreadLoop
from ai_platform.settings import ModelSettings, Settings
from ai_platform.storage.postgres import Database
from ai_platform.storage.redis import Redis
from ai_platform.telemetry import logger

log = logger(__name__)

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

    Each is loaded apart from the others, and what any of them raises is its own: an alias whose new versions cannot all
    be loaded goes on serving the old ones, and they are tried again, with pauses that grow.

    Args:
        source: loads the versions.
        trial: makes a process that tries versions.
        announcements: hints that aliases changed.
        report: tells others how the versions do.
        models: the default one, how often the aliases are read, and how long a load is waited for.

    Attributes:
        conditions: what has become of each version.
        load_seconds: longest wait of `load`.
        on_change: called with each version that is taken up, by the thread that loaded it.
    """

    def __init__(
        self,
        source: VersionSource,
        trial: Callable[[], TrialProcess],
        announcements: Announcements,
        report: ServingReport,
        models: ModelSettings,
    ) -> None:
        self._source = source
        self.conditions = source.conditions
        self._loads = LoadQueue(trial, self._load)
        self._default = models.default
        self._refresh_seconds = models.refresh_seconds
        self.load_seconds = models.load_seconds
        self._announcements = announcements
        self._report = report
        self._aliases: list[Alias] = []
        self._routes: dict[AliasKey, _Route] = {}
        self._routing = threading.RLock()
        self._known: frozenset[AliasKey] = frozenset()
        self._looked = False
        self._next_look = 0.0
        self._loop = ThreadLoop(
            "model-directory", self._round, failure="models not refreshed", pause=0.0, last=self._announcements.close
        )
        self.on_change: list[Callable[[PreparedModel], None]] = []

    @classmethod
    def of(cls, settings: Settings, name: str, computing: Computing | None = None) -> "ModelDirectory":
        """Made of the platform's settings, with a source as `VersionSource.of` makes it."""
        trial = partial(TrialProcess, Hello.of(settings), settings.models)
        report = ServingReport(Database.of(settings), name)
        source = VersionSource.of(settings, name, computing)
        return cls(source, trial, Announcements(Redis.of(settings)), report, settings.models)

    def start(self) -> None:
        """Begin to follow the registry."""
        self._loop.start()

    def stop(self) -> None:
        """Stop following it."""
        self._loop.stop(5)
        self._loads.close()
        self._report.withdraw()
        self._source.close()

    @property
    def is_complete(self) -> bool:
        """Whether all that the aliases name was looked at once, and is loaded or has failed."""
        return self._looked and all(self._is_settled(key) for key in self.named())

    def settle(self, seconds: float) -> bool:
        """Look at the aliases, and wait until all that they name is loaded or has failed, at most so many seconds.

        Returns:
            Whether it is.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        self.refresh()
        until = time.monotonic() + seconds
        while not self.is_complete and time.monotonic() < until:
            self._loop.stopping.wait(0.02)
        return self.is_complete

    def named(self) -> list[VersionKey]:
        """The versions that aliases name, as they were seen last."""
        return sorted({(alias.model, target.version) for alias in self._aliases for target in alias.targets})

    def require_looked(self) -> None:
        """Refuse while nothing is known of the aliases.

        Raises:
            ModelNotReady: PostgreSQL has not been read yet.
        """
        if not self._looked:
            raise ModelNotReady("the models' aliases have not been read yet")

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
            raise ModelNotReady(self._why_not(name, alias))
        if any(known == name for known, _alias in self._known):
            raise ModelNotFound(f"model {name!r} has no alias {alias!r}")
        raise ModelNotFound(f"no model is named {name!r}")

    def is_loading(self, name: str, alias: str) -> bool:
        """Whether an alias has no version yet, and what it names is being loaded for the first time."""
        if (name, alias) in self._routes or (name, alias) not in self._known:
            return False
        keys = [
            (name, target.version)
            for one in self._aliases
            if (one.model, one.name) == (name, alias)
            for target in one.targets
        ]
        return all((found := self.conditions.of(key)) is None or found.state != "failed" for key in keys)

    def held(self, name: str, version: int) -> PreparedModel | None:
        """A given version, if it is in memory already."""
        return self._source.pool.peek((name, version))

    def ask(self, name: str, version: int) -> "Future[PreparedModel]":
        """Have a given version loaded; others ask for it too, so it must not be cancelled.

        Returns:
            What will hold it, or raise `ModelNotFound`, `ArtifactRefused` or `StorageUnavailable`.

        Raises:
            ArtifactRefused: it failed before, and is not to be tried yet.
        """
        found = self.conditions.of((name, version))
        if found is not None and found.rests:
            raise ArtifactRefused(f"{found.why}; it is tried again in {found.retry_seconds:.0f} s")
        return self._begin((name, version))

    def load(self, name: str, version: int) -> PreparedModel:
        """A given version, loaded first if need be; waits `models.load_seconds` at most.

        Raises:
            ModelNotFound: it is not published.
            ModelNotReady: it is still loading.
            ArtifactRefused: its bytes are not to be trusted, or do not load.
            StorageUnavailable: PostgreSQL is away.
        """
        held = self.held(name, version)
        if held is not None:
            return held
        try:
            return self.ask(name, version).result(self.load_seconds)
        except TimeoutError:
            raise ModelNotReady(f"version {version} of {name!r} is still loading") from None

    def summary(self) -> list[PreparedModel]:
        """One version of each model that can answer now: production's first, or the first of any alias."""
        chosen: dict[str, PreparedModel] = {}
        for (name, alias), route in sorted(self._routes.items(), key=lambda item: (item[0][1] != PRODUCTION, item[0])):
            del alias
            chosen.setdefault(name, route.prepared[route.targets[0].version])
        return [chosen[name] for name in sorted(chosen)]

    def refresh(self) -> None:
        """Look once at what the aliases name, begin to load what is new, and let go of what nothing names.

        Raises:
            StorageUnavailable: PostgreSQL is away; what is loaded goes on answering.
        """
        looked_at, aliases = self._source.look()
        self._aliases = aliases
        self._known = frozenset((alias.model, alias.name) for alias in aliases)
        self._looked = True
        for key in self.named():
            self._want(key)
        self._loads.look()
        self._route()
        self._source.drop_deleted()
        self._source.write(self._report, looked_at)

    def _want(self, key: VersionKey) -> None:
        """Have a version loaded, unless it is, or is not to be tried yet."""
        if self._source.pool.peek(key) is not None:
            if not self._is_settled(key):
                self.conditions.loaded(key)
            return
        found = self.conditions.of(key)
        if found is None or not found.rests:
            self._begin(key)

    def _begin(self, key: VersionKey) -> "Future[PreparedModel]":
        # The default model first: readiness waits for it.
        future = self._loads.ask(key, first=key[0] == self._default)
        if self.conditions.of(key) is None:
            self.conditions.loading(key)
        return future

    def _load(self, key: VersionKey, trial: TrialProcess) -> PreparedModel:
        """In a thread of the queue: load a version, and serve it where aliases name it."""
        try:
            prepared = self._source.load_tried(key, trial)
        except ModelNotFound:
            self.conditions.forget(key)
            raise
        except BaseException as error:
            self.conditions.failed(key, error)
            self._tell()
            raise
        self.conditions.loaded(key)
        self._route()
        self._tell()
        return prepared

    def _tell(self) -> None:
        """Let others know what has become of a version; who is away learns of it at the next look."""
        with contextlib.suppress(PlatformError):
            self._source.write(self._report, None)

    def _route(self) -> None:
        """Let each alias be answered by what it names, where all of that is in memory."""
        with self._routing:
            for alias in self._aliases:
                present = self._routes.get((alias.model, alias.name))
                if present is None or present.targets != alias.targets:
                    self._take_up(alias)
            if self._routes.keys() - self._known:
                self._routes = {key: route for key, route in self._routes.items() if key in self._known}
            named = frozenset(self.named())
            served = {(name, number) for (name, _alias), route in self._routes.items() for number in route.prepared}
            self._source.pool.name(named | served)
            self.conditions.keep(named | served | set(self._source.pool.keys()))

    def _take_up(self, alias: Alias) -> None:
        prepared: dict[int, PreparedModel] = {}
        for target in alias.targets:
            found = self._source.pool.peek((alias.model, target.version))
            if found is None:
                return
            prepared[target.version] = found
        # One assignment: a request sees the old map or the new one.
        self._routes = {**self._routes, (alias.model, alias.name): _Route(alias.model, alias.targets, prepared)}
        for one in prepared.values():
            for notify in self.on_change:
                notify(one)

    def _is_settled(self, key: VersionKey) -> bool:
        found = self.conditions.of(key)
        return found is not None and found.state != "loading"

    def _why_not(self, name: str, alias: str) -> str:
        for one in self._aliases:
            if (one.model, one.name) == (name, alias):
                for target in one.targets:
                    found = self.conditions.of((name, target.version))
                    if found is not None and found.state == "failed":
                        return f"version {target.version} of {name!r} cannot be loaded: {found.why}"
        return f"model {name!r} is not loaded yet"

    def _round(self) -> float:
        """Wait for a hint or for the time, and look; in this order, so that a look that fails is told of at once."""
        self._announcements.wait(self._next_look - time.monotonic(), self._loop.stopping)
        if not self._loop.stopping.is_set():
            self._next_look = time.monotonic() + self._refresh_seconds
            self.refresh()
        return 0.0
