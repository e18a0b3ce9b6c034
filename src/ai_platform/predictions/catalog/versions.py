"""Versions in memory: any published one can be loaded, and stays while an alias names it or room is left."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from ai_platform.errors import ArtifactRefused, PlatformError
from ai_platform.models.loading.error_text import error_text
from ai_platform.models.loading.loader import Loader, LoaderSettings, ServedModel
from ai_platform.models.registry import aliases, serving_reports, versions
from ai_platform.models.registry.aliases import Alias
from ai_platform.models.registry.versions import Version
from ai_platform.predictions.catalog.conditions import Conditions
from ai_platform.predictions.catalog.serving_report import ServingReport
from ai_platform.predictions.compute.computing import Computing
from ai_platform.predictions.compute.pending import VersionKey
from ai_platform.predictions.compute.trial import NotHere, TrialProcess
from ai_platform.predictions.compute.trial_notes import TrialNotes
from ai_platform.predictions.model.prepared import PreparedModel, prepare
from ai_platform.runtimes.base.pool import Pool
from ai_platform.runtimes.catalogue import FORMATS
from ai_platform.settings import LimitSettings, ModelSettings, Settings
from ai_platform.storage.postgres import Database, translated
from ai_platform.telemetry import LOADED_BYTES, MODEL_LOADS, logger

log = logger(__name__)

# Versions whose bytes are read from PostgreSQL at a time, while the aliases are followed beside them.
_CONNECTIONS = 3


class VersionSource:
    """Loads any published version, over a connection that is made anew when it broke.

    Args:
        database: where versions and aliases are.
        loader: where artifacts are, and who and what is trusted.
        models: how much memory they may take, and what becomes of outputs that are not finite.
        limits: of requests.
        name: of the process, for `pg_stat_activity`.
        computing: where predictions are computed apart, and a version must be loaded too; None where each is computed
            by the thread that wants it.

    Attributes:
        pool: the versions in memory.
        conditions: what has become of each version that was asked for.
    """

    def __init__(
        self,
        database: Database,
        loader: LoaderSettings,
        models: ModelSettings,
        limits: LimitSettings,
        name: str,
        *,
        computing: Computing | None = None,
    ) -> None:
        self._connections = database.pool(f"{name}-models", _CONNECTIONS)
        self._loader = Loader(loader, self._fetch)
        self._computing = computing
        self._build = partial(prepare, limits=limits, apart=computing is not None, non_finite=models.non_finite)
        self._trials = TrialNotes(Path(loader.cache_dir), name)
        self.conditions = Conditions()
        self.pool: Pool[VersionKey, PreparedModel] = Pool(
            self._prepare, lambda prepared: prepared.served.bytes, models.loaded_mb * 1_000_000, self._let_go
        )

    @classmethod
    def of(cls, settings: Settings, name: str, computing: Computing | None = None) -> "VersionSource":
        """Made of the platform's settings."""
        loader = LoaderSettings.of(settings)
        return cls(Database.of(settings), loader, settings.models, settings.limits, name, computing=computing)

    def aliases(self) -> list[Alias]:
        """All aliases of all models, as PostgreSQL has them now.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        with translated(), self._connections.connection() as connection:
            return aliases.everything(connection)

    def look(self) -> tuple[datetime, list[Alias]]:
        """All aliases of all models, and a moment, on PostgreSQL's clock, up to which all changes are in them.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        with translated(), self._connections.connection() as connection:
            return serving_reports.moment(connection), aliases.everything(connection)

    def write(self, report: ServingReport, looked_at: datetime | None) -> None:
        """Write what has become of the versions where others read it.

        Args:
            report: of this process.
            looked_at: the moment of the look that it has acted on; None for none since the last one.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        with translated(), self._connections.connection() as connection:
            report.write(connection, self.conditions.all(), looked_at)

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
        with translated(), self._connections.connection() as connection:
            for key in versions.deleted_among(connection, held):
                self.pool.drop(key)

    def close(self) -> None:
        """Give the connection back to PostgreSQL."""
        self._connections.close(timeout=1)

    def load_tried(self, key: VersionKey, trial: TrialProcess) -> PreparedModel:
        """A version, tried in another process first where loading it runs code of its own.

        Raises:
            ArtifactRefused: whatever is wrong with the version.
            ModelNotFound: it is not published.
            StorageUnavailable: PostgreSQL is away.
        """
        return self.pool.get(key, lambda: self._prepare(key, trial))

    def _prepare(self, key: VersionKey, trial: TrialProcess | None = None) -> PreparedModel:
        try:
            prepared = self._prepared(key, trial)
        except PlatformError as error:
            MODEL_LOADS.labels(key[0], error.code).inc()
            raise
        except BaseException as error:  # whatever one version raises is that version's fault
            MODEL_LOADS.labels(key[0], ArtifactRefused.code).inc()
            raise ArtifactRefused(f"{key[0]} {key[1]} cannot be loaded: {error_text(error)}") from error
        MODEL_LOADS.labels(key[0], "loaded").inc()
        LOADED_BYTES.set(self.pool.bytes_held + prepared.served.bytes)
        log.info(
            "model loaded",
            model=key[0],
            version=key[1],
            form=prepared.served.form,
            place=prepared.placement.place,
            microseconds_per_row=round(prepared.cost_seconds * 1e6),
        )
        return prepared

    def _prepared(self, key: VersionKey, trial: TrialProcess | None) -> PreparedModel:
        with translated(), self._connections.connection() as connection:
            version = versions.find(connection, *key)
        note = partial(self.conditions.call_failed, key)
        if trial is None or version.compiled_sha256 is not None or not FORMATS[version.format].format.runs_code:
            prepared = self._build(self._loader.load(version), note_failure=note)
        else:
            prepared = self._tried(version, trial, note)
        if self._computing is not None:
            self._computing.take_up(version, prepared)
        return prepared

    def _tried(self, version: Version, trial: TrialProcess, note: Callable[[str], None]) -> PreparedModel:
        manifest = self._loader.read(version)
        if not manifest.golden.rows:
            raise ArtifactRefused(f"the manifest of {manifest.model} has no golden rows to check the model by")
        passed = self._trials.passed(version)
        try:
            if self._computing is not None and FORMATS[manifest.format].format.only_apart:
                tried = trial.load(version, manifest.golden.rows[0])
                elsewhere = ServedModel(version.model, version.version, manifest, NotHere(), "native", manifest.size)
                return self._build(elsewhere, tried=tried, note_failure=note)
            if not passed:
                trial.load(version, manifest.golden.rows[0])
        except OSError as error:  # the machine's fault, and no version's
            log.warning("a version is loaded without a trial", model=version.model, why=str(error))
        finally:
            trial.drop(version.model, version.version)
        with self._trials.noted(version):
            served = self._loader.load(version)
            return self._build(served, note_failure=note)

    def _let_go(self, key: VersionKey) -> None:
        if self._computing is not None:
            self._computing.let_go(key)

    def _fetch(self, sha256: bytes) -> Iterator[bytes]:
        with translated(), self._connections.connection() as connection:
            yield from versions.artifact_parts(connection, sha256)
