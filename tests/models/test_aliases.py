"""Versions and aliases in the registry: numbers, movements, weights, deletion, and what the audit log keeps."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_platform.errors import InvalidParameter, ModelNotFound, VersionInUse
from ai_platform.models.registry import aliases, versions
from ai_platform.models.registry.aliases import PRODUCTION, Target, choose, draw_for
from ai_platform.models.registry.manifest import decode, encode
from ai_platform.settings import Settings
from ai_platform.storage import audit
from ai_platform.storage.postgres import BoundedConnection, Database
from harness import Iris

NO_TIME = timedelta(0)


@pytest.fixture
def connection(settings: Settings) -> Iterator[BoundedConnection]:
    with Database.of(settings).connect("test") as opened:
        yield opened


@pytest.fixture
def three(connection: BoundedConnection, iris: Iris) -> BoundedConnection:
    """iris with versions 1 to 3, of which production names the first."""
    for _ in range(2):
        add(connection, iris)
    return connection


def add(connection: BoundedConnection, iris: Iris) -> int:
    manifest = iris.files.manifest.read_bytes()
    return versions.add(connection, iris.files.artifact, manifest, iris.files.signature.read_bytes(), created_by="me")


def point(connection: BoundedConnection, *targets: Target, alias: str = PRODUCTION) -> aliases.Alias:
    return aliases.point(connection, "iris", alias, targets, by="me")


def served(connection: BoundedConnection, alias: str = PRODUCTION) -> list[int]:
    return [target.version for target in aliases.find(connection, "iris", alias).targets]


def test_versions_are_numbered_and_a_new_one_moves_no_alias(three: BoundedConnection) -> None:
    assert [version.version for version in versions.of_model(three, "iris")] == [3, 2, 1]
    assert served(three) == [1]


def test_a_model_that_does_not_exist_is_not_found(connection: BoundedConnection) -> None:
    for ask in (versions.of_model, lambda opened, name: aliases.find(opened, name, PRODUCTION)):
        with pytest.raises(ModelNotFound):
            ask(connection, "nothing")


def test_an_alias_moves_and_rolls_back_to_what_it_named_before(three: BoundedConnection) -> None:
    point(three, Target(2))
    point(three, Target(3))
    assert aliases.roll_back(three, "iris", PRODUCTION, by="me").targets == (Target(2),)
    assert aliases.roll_back(three, "iris", PRODUCTION, by="me").targets == (Target(3),)


def test_naming_what_is_named_already_does_not_forget_what_was_before(three: BoundedConnection) -> None:
    point(three, Target(2))
    point(three, Target(2))
    assert aliases.roll_back(three, "iris", PRODUCTION, by="me").targets == (Target(1),)


def test_an_alias_that_never_moved_cannot_roll_back(three: BoundedConnection) -> None:
    point(three, Target(2), alias="candidate")
    with pytest.raises(ModelNotFound, match="nothing else before"):
        aliases.roll_back(three, "iris", "candidate", by="me")


@pytest.mark.parametrize(
    "targets",
    [(), (Target(1), Target(1)), (Target(1, 0),), (Target(1, 1001),), tuple(Target(n) for n in range(1, 10))],
    ids=["none", "twice the same", "no weight", "too heavy", "too many"],
)
def test_targets_that_make_no_sense_are_refused(three: BoundedConnection, targets: tuple[Target, ...]) -> None:
    with pytest.raises(InvalidParameter):
        point(three, *targets)
    assert served(three) == [1]


@pytest.mark.parametrize("alias", ["", "Production", "1st", "a/b", "..", "x" * 64])
def test_an_alias_of_another_form_is_refused(three: BoundedConnection, alias: str) -> None:
    with pytest.raises(InvalidParameter):
        point(three, Target(1), alias=alias)


def test_an_alias_cannot_name_a_version_that_does_not_exist(three: BoundedConnection) -> None:
    with pytest.raises(ModelNotFound, match="no version 9"):
        point(three, Target(1), Target(9))
    assert served(three) == [1]


def test_a_removed_alias_is_gone_and_its_version_stays(three: BoundedConnection) -> None:
    point(three, Target(3), alias="candidate")
    aliases.remove(three, "iris", "candidate")
    assert [alias.name for alias in aliases.of_model(three, "iris")] == [PRODUCTION]
    assert versions.find(three, "iris", 3).version == 3
    with pytest.raises(ModelNotFound):
        aliases.remove(three, "iris", "candidate")


def test_a_version_that_an_alias_names_cannot_be_deleted(three: BoundedConnection) -> None:
    with pytest.raises(VersionInUse, match="production"):
        versions.delete(three, "iris", 1, by="me")
    point(three, Target(2))
    versions.delete(three, "iris", 1, by="me")
    with pytest.raises(ModelNotFound):
        versions.find(three, "iris", 1)


def test_a_version_that_an_unfinished_job_needs_cannot_be_deleted(three: BoundedConnection) -> None:
    three.execute(
        "INSERT INTO jobs (id, owner, model, version, input, max_attempts, hard_limit_seconds)"
        " VALUES (%s, 'me', 'iris', 2, '[]', 1, 1)",
        (uuid.uuid4(),),
    )
    with pytest.raises(VersionInUse, match="jobs"):
        versions.delete(three, "iris", 2, by="me")


def test_a_deleted_versions_number_is_not_given_out_again(three: BoundedConnection, iris: Iris) -> None:
    versions.delete(three, "iris", 3, by="me")
    assert add(three, iris) == 4
    assert [version.version for version in versions.of_model(three, "iris")] == [4, 2, 1]


def test_rolling_back_to_a_deleted_version_is_refused_and_moves_nothing(three: BoundedConnection) -> None:
    point(three, Target(2))
    versions.delete(three, "iris", 1, by="me")
    with pytest.raises(ModelNotFound, match="no version 1"):
        aliases.roll_back(three, "iris", PRODUCTION, by="me")
    assert served(three) == [2]


def test_bytes_go_when_the_last_version_that_has_them_goes(
    three: BoundedConnection, iris: Iris, tmp_path: Path
) -> None:
    other = tmp_path / "other.pkl"
    other.write_bytes(b"other bytes")
    sha256 = hashlib.sha256(b"other bytes").digest()
    described = decode(iris.files.manifest.read_bytes())
    manifest = encode(msgspec.structs.replace(described, sha256=sha256.hex(), size=11))
    version = versions.add(three, other, manifest, b"", created_by="me")
    assert versions.delete_unnamed_artifacts(three, NO_TIME) == 0
    versions.delete(three, "iris", version, by="me")
    assert versions.delete_unnamed_artifacts(three, timedelta(hours=1)) == 0
    assert versions.delete_unnamed_artifacts(three, NO_TIME) == 1
    assert list(versions.artifact_parts(three, versions.find(three, "iris", 1).sha256)) != []


def test_bytes_stay_while_somebody_stores_some(three: BoundedConnection, settings: Settings) -> None:
    three.execute("INSERT INTO artifacts (sha256, size) VALUES (%s, 0)", (b"\0" * 32,))
    with Database.of(settings).connect("test") as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock_shared(%s)", (versions.ARTIFACTS_LOCK,))
        assert versions.delete_unnamed_artifacts(three, NO_TIME) == 0
    assert versions.delete_unnamed_artifacts(three, NO_TIME) == 1


def test_a_version_is_immutable(three: BoundedConnection) -> None:
    for change in ("format = 'onnx'", "compiled_sha256 = NULL, validation = '{}', created_by = 'you'"):
        with pytest.raises(psycopg.errors.RaiseException, match="immutable"):
            three.execute(f"UPDATE model_versions SET {change} WHERE version = 1")


def test_the_audit_log_only_grows(connection: BoundedConnection) -> None:
    audit.record(connection, actor="me", action="model.publish", subject="iris/1", format="onnx")
    audit.record(connection, actor="me", action="model.delete", subject="irises/1", outcome="refused")
    assert [entry.action for entry in audit.entries(connection, limit=1)] == ["model.delete"]
    (found,) = audit.entries(connection, limit=9, subject="iris")
    assert (found.actor, found.outcome, found.detail) == ("me", "done", {"format": "onnx"})
    for change in ("UPDATE audit_log SET actor = 'you'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(change)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.integers(0, 2**64))
def test_a_draw_falls_to_a_version_in_proportion_to_its_weight(weights: list[int], draw: int) -> None:
    targets = tuple(Target(number, weight) for number, weight in enumerate(weights, start=1))
    chosen = choose(targets, draw)
    below = sum(weights[: chosen - 1])
    assert below <= draw % sum(weights) < below + weights[chosen - 1]


def test_callers_are_spread_evenly_and_each_stays_where_it_is() -> None:
    targets = (Target(1, 90), Target(2, 10))
    callers = [f"caller-{number}".encode() for number in range(5_000)]
    chosen = [choose(targets, draw_for("iris", caller)) for caller in callers]
    assert 400 < chosen.count(2) < 600  # 500 expected, five standard deviations each way are 106
    assert [choose(targets, draw_for("iris", caller)) for caller in callers] == chosen
