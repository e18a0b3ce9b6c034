"""Which model answers to a name: a look-up in memory, kept fresh by a thread, never a wait for PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator

from ai_platform.errors import ModelNotFound, ModelNotReady, PlatformError
from ai_platform.models import registry
from ai_platform.models.loader import Loader
from ai_platform.predictions.prepared import PreparedModel, prepare
from ai_platform.runtimes.pool import Pool
from ai_platform.settings import Settings
from ai_platform.storage import postgres
from ai_platform.telemetry import LOOP_FAILURES, logger

log = logger(__name__)

VersionKey = tuple[str, int]


class VersionSource:
    """Loads any published version, over a connection that is made anew when it broke.

    Args:
        settings: the platform's settings.
        name: of the process, for `pg_stat_activity`.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._pool = postgres.open_pool(settings, f"{name}-models")
        self._loader = Loader(settings, self._fetch)
        self.pool: Pool[VersionKey, PreparedModel] = Pool(self._prepare)

    def production_versions(self) -> dict[str, int]:
        """What `production` names, for each model.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        with postgres.translated(), self._pool.connection() as connection:
            return registry.production_versions(connection)

    def close(self) -> None:
        """Give the connection back to PostgreSQL."""
        self._pool.close(timeout=1)

    def _prepare(self, key: VersionKey) -> PreparedModel:
        with postgres.translated(), self._pool.connection() as connection:
            version = registry.find(connection, *key)
        prepared = prepare(self._loader.load(version), self._settings.limits)
        log.info("model loaded", model=key[0], version=key[1], microseconds_a_row=round(prepared.cost_seconds * 1e6))
        return prepared

    def _fetch(self, sha256: bytes) -> Iterator[bytes]:
        with postgres.translated(), self._pool.connection() as connection:
            yield from registry.artifact_parts(connection, sha256)


class ModelDirectory:
    """The models that `production` names, each loaded before it is named here.

    A version that cannot be loaded never replaces one that works.

    Args:
        settings: the platform's settings.
        name: of the process, for `pg_stat_activity`.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._source = VersionSource(settings, name)
        self._refresh_seconds = settings.models.refresh_seconds
        self._current: dict[str, PreparedModel] = {}
        self._refused: dict[VersionKey, str] = {}
        self._known: set[str] = set()
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

    def current(self, name: str) -> PreparedModel:
        """The production version of a model, from memory.

        Raises:
            ModelNotFound: nothing of that name is published.
            ModelNotReady: it is published, and cannot predict yet.
        """
        prepared = self._current.get(name)
        if prepared is not None:
            return prepared
        if name in self._known or not self._known:
            raise ModelNotReady(f"model {name!r} is not loaded yet")
        raise ModelNotFound(f"no model is named {name!r}")

    def held(self, name: str, version: int) -> PreparedModel | None:
        """A given version, if it is in memory already."""
        return self._source.pool.peek((name, version))

    def load(self, name: str, version: int) -> PreparedModel:
        """A given version, loaded by this call if need be; takes as long as that takes.

        Raises:
            ModelNotFound: it is not published.
            ModelNotReady: its bytes are refused, or PostgreSQL is away.
        """
        try:
            return self._source.pool.get((name, version))
        except ModelNotFound:
            raise
        except PlatformError as error:
            raise ModelNotReady(f"version {version} of {name!r} cannot be loaded now") from error

    def summary(self) -> list[PreparedModel]:
        """The models that can answer now."""
        return list(self._current.values())

    def refresh(self) -> None:
        """Look once at what `production` names, and load what is new.

        Raises:
            StorageUnavailable: PostgreSQL is away; what is loaded goes on answering.
        """
        named = self._source.production_versions()
        self._known = set(named)
        for name, version in named.items():
            present = self._current.get(name)
            if (present is None or present.served.version != version) and (name, version) not in self._refused:
                self._take_up(name, version)
        for name in self._current.keys() - self._known:
            self._current = {kept: prepared for kept, prepared in self._current.items() if kept != name}

    def _take_up(self, name: str, version: int) -> None:
        try:
            prepared = self._source.pool.get((name, version))
        except PlatformError as error:
            if error.code == "artifact_refused":
                self._refused[name, version] = error.detail
            log.error("model not taken up", model=name, version=version, why=error.detail)
            return
        self._current = {**self._current, name: prepared}
        for notify in self.on_change:
            notify(prepared)

    def _refresh_for_ever(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001  # the loop must live; the failure is logged and counted
                LOOP_FAILURES.labels("model-directory").inc()
                log.warning("models not refreshed", why=str(error))
            self._stop.wait(max(0.0, self._refresh_seconds - (time.monotonic() - begun)))
