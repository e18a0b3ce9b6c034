"""What is shown of models and their versions, read from PostgreSQL."""

from collections.abc import Iterator

from ai_platform.models.registry import aliases, serving_reports, versions
from ai_platform.models.registry.versions import Version
from ai_platform.models.registry.views import (
    AliasView,
    ModelView,
    VersionDetail,
    VersionView,
    alias_view,
    model_view,
    version_detail,
    version_view,
)
from ai_platform.storage.postgres import Database


class ModelReader:
    """Reads models as callers see them, over a connection of its own each time.

    Each method raises `ModelNotFound` where there is no such version, and `StorageUnavailable` when PostgreSQL is away.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def models(self) -> list[ModelView]:
        """All models, with what their aliases name."""
        with self._database.connect("models") as connection:
            known = aliases.everything(connection)
            return [model_view(record, known) for record in versions.models(connection)]

    def versions(self, model: str) -> tuple[list[VersionView], list[AliasView]]:
        """A model's versions, newest first, and its aliases."""
        with self._database.connect("models") as connection:
            found = versions.of_model(connection, model)
            known = aliases.of_model(connection, model)
            served = serving_reports.of_model(connection, model)
        return [version_view(version, known, served) for version in found], [alias_view(alias) for alias in known]

    def version(self, model: str, version: int) -> VersionDetail:
        """Everything that is known of a version."""
        with self._database.connect("models") as connection:
            found = versions.find(connection, model, version)
            known = aliases.of_model(connection, model)
            return version_detail(found, known, serving_reports.of_model(connection, model))

    def find(self, model: str, version: int) -> Version:
        """A version as it was published."""
        with self._database.connect("models") as connection:
            return versions.find(connection, model, version)

    def artifact(self, version: Version) -> Iterator[bytes]:
        """The bytes that were published, in parts."""
        with self._database.connect("models") as connection:
            yield from versions.artifact_parts(connection, version.sha256)
