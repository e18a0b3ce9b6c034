"""Versions in memory: any published one can be loaded, and stays while an alias names it or room is left."""

from collections.abc import Iterator

from ai_platform.errors import PlatformError
from ai_platform.models import aliases, registry
from ai_platform.models.aliases import Alias
from ai_platform.models.loader import Loader
from ai_platform.predictions.calls import VersionKey
from ai_platform.predictions.compute import Computing
from ai_platform.predictions.prepared import PreparedModel, prepare
from ai_platform.runtimes.pool import Pool
from ai_platform.settings import Settings
from ai_platform.storage import postgres
from ai_platform.telemetry import LOADED_BYTES, MODEL_LOADS, logger

log = logger(__name__)


class VersionSource:
    """Loads any published version, over a connection that is made anew when it broke.

    Args:
        settings: the platform's settings.
        name: of the process, for `pg_stat_activity`.
        computing: where predictions are computed apart, and a version must be loaded too; None where each is computed
            by the thread that wants it.
    """

    def __init__(self, settings: Settings, name: str, computing: Computing | None = None) -> None:
        self._settings = settings
        self._connections = postgres.open_pool(settings, f"{name}-models")
        self._loader = Loader(settings, self._fetch)
        self._computing = computing
        self.pool: Pool[VersionKey, PreparedModel] = Pool(
            self._prepare, lambda prepared: prepared.served.bytes, settings.models.loaded_mb * 1_000_000, self._let_go
        )

    def aliases(self) -> list[Alias]:
        """All aliases of all models, as PostgreSQL has them now.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        with postgres.translated(), self._connections.connection() as connection:
            return aliases.everything(connection)

    def load(self, name: str, version: int) -> PreparedModel:
        """A version, loaded by this call if need be; takes as long as that takes.

        Raises:
            ModelNotFound: it is not published.
            ArtifactRefused: its bytes are not to be trusted, or do not load.
            StorageUnavailable: PostgreSQL is away.
        """
        return self.pool.get((name, version))

    def drop_deleted(self) -> None:
        """Let go of the versions in memory that were deleted meanwhile.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        held = self.pool.keys()
        if not held:
            return
        with postgres.translated(), self._connections.connection() as connection:
            for key in registry.deleted_among(connection, held):
                self.pool.drop(key)

    def close(self) -> None:
        """Give the connection back to PostgreSQL."""
        self._connections.close(timeout=1)

    def _prepare(self, key: VersionKey) -> PreparedModel:
        try:
            with postgres.translated(), self._connections.connection() as connection:
                version = registry.find(connection, *key)
            served = self._loader.load(version)
            prepared = prepare(
                served,
                self._settings.limits,
                apart=self._computing is not None,
                non_finite=self._settings.models.non_finite,
            )
            if self._computing is not None:
                self._computing.take_up(version, prepared)
        except PlatformError as error:
            MODEL_LOADS.labels(key[0], error.code).inc()
            raise
        MODEL_LOADS.labels(key[0], "loaded").inc()
        LOADED_BYTES.set(self.pool.bytes_held + prepared.served.bytes)
        log.info(
            "model loaded",
            model=key[0],
            version=key[1],
            form=prepared.served.form,
            place=prepared.placement.place,
            microseconds_a_row=round(prepared.cost_seconds * 1e6),
        )
        return prepared

    def _let_go(self, key: VersionKey) -> None:
        if self._computing is not None:
            self._computing.let_go(key)

    def _fetch(self, sha256: bytes) -> Iterator[bytes]:
        with postgres.translated(), self._connections.connection() as connection:
            yield from registry.artifact_parts(connection, sha256)
