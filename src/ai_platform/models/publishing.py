"""Publishing: validate in a sandbox, sign what was found, record, announce; every refusal leaves a trace."""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ai_platform.errors import ArtifactRefused, PlatformError, StorageUnavailable
from ai_platform.models.loading.signing import Signer
from ai_platform.models.registry import aliases, serving_reports, versions
from ai_platform.models.registry.aliases import PRODUCTION, Alias, Target
from ai_platform.models.registry.announcements import announce
from ai_platform.models.registry.manifest import Draft, Manifest, encode
from ai_platform.models.registry.serving_reports import Waited
from ai_platform.models.validation.validate import Signed, Validated, ValidationReport, Validator
from ai_platform.settings import Settings
from ai_platform.storage import audit, postgres
from ai_platform.storage.postgres import BoundedConnection, Database
from ai_platform.storage.redis import Redis


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a publication.

    Attributes:
        manifest: the version's manifest.
        version: its number.
        report: what validation found.
        aliases: the aliases that name it now.
        waited: what became of waiting until it answers; None when no alias names it, or nothing was waited for.
    """

    manifest: Manifest
    version: int
    report: ValidationReport
    aliases: tuple[str, ...]
    waited: Waited | None = None


def _silent(_step: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes versions and moves aliases.

    Attributes:
        database: where they are recorded.
        redis: which carries the hint that aliases changed; None for none.
        validator: tries them first.
        answer_seconds: longest wait until every API process serves what was changed; 0 for none.
    """

    database: Database
    redis: Redis | None
    validator: Validator
    answer_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "Publisher":
        """Made of the platform's settings, which need not name a Redis."""
        redis = None if settings.redis_url is None else Redis.of(settings)
        return cls(Database.of(settings), redis, Validator.of(settings), settings.models.answer_seconds)

    def publish(
        self,
        artifact: Path,
        described: Signed | Draft,
        *,
        by: str,
        signer: Signer | None = None,
        alias: str | None = None,
        on_step: Callable[[str], None] = _silent,
    ) -> Published:
        """Publish a file as the next version of its model.

        Args:
            artifact: the model file.
            described: its signed manifest, or what is said of it; then it is made here, and signed by `signer`.
            by: who publishes.
            signer: holder of the private key; without one, only formats of plain data can be published from a draft.
            alias: what shall name the new version; without one, `production` does if nothing is production yet.
            on_step: told what is begun, in a few words.

        Returns:
            What was published. Where an alias names it, every API process that runs answers with it then, unless
            `waited` says otherwise.

        Raises:
            ArtifactRefused: the file is not what it should be; its sentence says why, and the audit log has it.
            InvalidParameter: the alias is not of its form.
            StorageUnavailable: PostgreSQL is away; nothing was published.
        """
        with tempfile.TemporaryDirectory(prefix="aip-publish-") as folder:
            on_step(f"trying {artifact.name} in a process of its own")
            try:
                validated = self.validator.validate(
                    artifact, described, is_signed=signer is not None, workdir=Path(folder)
                )
            except ArtifactRefused as error:
                self._record_refusal(by, _model_of(described), error)
                raise
            manifest, signature = _signed(described, validated, signer)
            on_step("recording it")
            with self.database.connect("publish") as connection:
                version, named = _record(connection, artifact, manifest, signature, validated, by=by, alias=alias)
        announce(self.redis, validated.manifest.model)
        waited = self._await_answers(validated.manifest.model, [version], on_step) if named else None
        return Published(validated.manifest, version, validated.report, named, waited)

    def promote(
        self,
        model: str,
        alias: str,
        targets: tuple[Target, ...],
        *,
        by: str,
        on_step: Callable[[str], None] = _silent,
    ) -> tuple[Alias, Waited | None]:
        """Let an alias name other versions, and wait until every API process that runs serves them.

        Returns:
            The alias, and what became of waiting; None when nothing was waited for.

        Raises:
            InvalidParameter: alias or targets are not of their form.
            ModelNotFound: a version does not exist.
            StorageUnavailable: PostgreSQL is away.
        """
        shown = [[target.version, target.weight] for target in targets]
        with self._recorded(by, "alias.point", f"{model}/{alias}", targets=shown) as connection:
            moved = aliases.point(connection, model, alias, targets, by=by)
        announce(self.redis, model)
        return moved, self._await_answers(model, [target.version for target in targets], on_step)

    def roll_back(
        self, model: str, alias: str = PRODUCTION, *, by: str, on_step: Callable[[str], None] = _silent
    ) -> tuple[Alias, Waited | None]:
        """Let an alias name again what it named before its last change; as `promote`.

        Raises:
            ModelNotFound: there is no such alias, or nothing to go back to.
            StorageUnavailable: PostgreSQL is away.
        """
        with self._recorded(by, "alias.roll_back", f"{model}/{alias}") as connection:
            moved = aliases.roll_back(connection, model, alias, by=by)
        announce(self.redis, model)
        return moved, self._await_answers(model, [target.version for target in moved.targets], on_step)

    def remove_alias(self, model: str, alias: str, *, by: str) -> None:
        """Remove an alias.

        Raises:
            ModelNotFound: there is no such alias.
            StorageUnavailable: PostgreSQL is away.
        """
        with self._recorded(by, "alias.remove", f"{model}/{alias}") as connection:
            aliases.remove(connection, model, alias)
        announce(self.redis, model)

    def delete(self, model: str, version: int, *, by: str, with_aliases: bool = False) -> tuple[str, ...]:
        """Delete a version.

        Args:
            model: the model's name.
            version: its number.
            by: who deletes it.
            with_aliases: whether the aliases that name it, and no other version, are removed too.

        Returns:
            The aliases that were removed.

        Raises:
            ModelNotFound: there is no such version.
            VersionInUse: an alias names it, or a job that has not ended is pinned to it.
            StorageUnavailable: PostgreSQL is away.
        """
        removed: list[str] = []
        with self._recorded(by, "model.delete", f"{model}/{version}") as connection:
            for alias in aliases.of_model(connection, model) if with_aliases else ():
                if [target.version for target in alias.targets] == [version]:
                    aliases.remove(connection, model, alias.name)
                    removed.append(alias.name)
                    audit.record(connection, actor=by, action="alias.remove", subject=f"{model}/{alias.name}")
            versions.delete(connection, model, version, by=by)
        if removed:
            announce(self.redis, model)
        return tuple(removed)

    def _await_answers(self, model: str, versions: list[int], on_step: Callable[[str], None]) -> Waited | None:
        """Wait until every API process that runs serves these versions; what was recorded stands in any case."""
        if not self.answer_seconds:
            return None
        on_step("waiting until it answers")
        with contextlib.suppress(StorageUnavailable), self.database.connect("models") as connection:
            return serving_reports.wait(connection, model, versions, self.answer_seconds)
        return None

    def _record_refusal(self, by: str, model: str, error: PlatformError) -> None:
        """The refusal itself matters more than its record, so a database that is away does not hide it."""
        with contextlib.suppress(StorageUnavailable), self.database.connect("publish") as connection:
            audit.record(
                connection, actor=by, action="model.publish", subject=model, outcome="refused", why=error.detail
            )

    @contextlib.contextmanager
    def _recorded(self, by: str, action: str, subject: str, **detail: Any):  # type: ignore[no-untyped-def]
        """A connection with a transaction in which a change and its entry stand or fall together."""
        with self.database.connect("models") as connection:
            try:
                with postgres.translated(), connection.transaction():
                    yield connection
                    audit.record(connection, actor=by, action=action, subject=subject, **detail)
            except StorageUnavailable:
                raise
            except PlatformError as error:
                audit.record(
                    connection, actor=by, action=action, subject=subject, outcome="refused", why=error.detail, **detail
                )
                raise


def _signed(described: Signed | Draft, validated: Validated, signer: Signer | None) -> tuple[bytes, bytes]:
    if isinstance(described, Signed):
        return described.manifest, described.signature
    manifest = encode(validated.manifest)
    return manifest, signer.sign(manifest) if signer is not None else b""


def _record(
    connection: BoundedConnection,
    artifact: Path,
    manifest: bytes,
    signature: bytes,
    validated: Validated,
    *,
    by: str,
    alias: str | None,
) -> tuple[int, tuple[str, ...]]:
    model = validated.manifest.model
    compiled = None if validated.compiled is None else (_sha256(validated.compiled), validated.compiled)
    with postgres.translated(), connection.transaction():
        version = versions.add(
            connection,
            artifact,
            manifest,
            signature,
            created_by=by,
            compiled=compiled,
            validation=msgspec.to_builtins(validated.report),
        )
        taken = {one.name for one in aliases.of_model(connection, model)}
        named = alias or (PRODUCTION if PRODUCTION not in taken else None)
        if named is not None:
            aliases.point(connection, model, named, (Target(version),), by=by)
        audit.record(
            connection,
            actor=by,
            action="model.publish",
            subject=f"{model}/{version}",
            sha256=validated.sha256.hex(),
            format=validated.manifest.format,
            alias=named,
        )
    return version, () if named is None else (named,)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _model_of(described: Signed | Draft) -> str:
    if isinstance(described, Draft):
        return described.model
    with contextlib.suppress(msgspec.MsgspecError):
        named: dict[str, Any] = msgspec.json.decode(described.manifest, type=dict[str, Any])
        return str(named.get("model", "?"))[:63]
    return "?"
