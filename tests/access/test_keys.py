"""Keys in the database: what they are, what bounds who makes them, and that every change is on record."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ai_platform.access import api_key, keys
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.key_text import digest_of, id_of, new_key_text
from ai_platform.access.keyring import Keyring
from ai_platform.access.principal import SCOPES, Principal
from ai_platform.errors import (
    Forbidden,
    InvalidInput,
    InvalidSettings,
    KeyNotActive,
    KeyNotFound,
    KeysUnavailable,
    Unauthenticated,
)
from ai_platform.settings import Settings
from ai_platform.storage import audit
from ai_platform.storage.postgres import BoundedConnection, Database


@pytest.fixture(scope="module")
def connection(module_settings: Settings) -> Iterator[BoundedConnection]:
    with Database.of(module_settings).connect("test") as connection:
        yield connection


@pytest.fixture
def keyring(module_settings: Settings) -> Iterator[Keyring]:
    ring = Keyring(Database.of(module_settings), module_settings.access)
    yield ring
    ring.start()
    ring.stop()


def make(connection: BoundedConnection, **terms: Any) -> tuple[str, api_key.ApiKey]:
    wanted = KeySpec(**{"owner": "somebody", "scopes": ["predict"], **terms})
    return keys.create(connection, wanted, "test", None)


def test_a_key_is_one_word_with_an_id_a_secret_and_a_checksum_and_no_two_are_alike() -> None:
    texts = {new_key_text() for _ in range(200)}
    assert len(texts) == 200
    assert all(re.fullmatch(r"aip_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", text) for text in texts)


@pytest.mark.parametrize("place", [5, 20, -1])
def test_a_mistyped_key_is_known_by_its_checksum(place: int) -> None:
    text = new_key_text()
    typed = [*text]
    typed[place] = "0" if typed[place] != "0" else "1"
    assert id_of(text) == text[4:12]
    with pytest.raises(InvalidSettings):
        id_of("".join(typed))


def test_of_a_secret_only_a_hash_is_kept(connection: BoundedConnection) -> None:
    text, key = make(connection)
    row = connection.execute("SELECT * FROM api_keys WHERE id = %s", (key.id,)).fetchone()
    log = connection.execute("SELECT detail::text AS detail FROM audit_log").fetchall()
    assert row is not None
    assert bytes(row["sha256"]) == digest_of(text.encode())
    assert text[13:56] not in f"{row}{log}"


def test_a_key_opens_until_it_is_revoked(connection: BoundedConnection, keyring: Keyring) -> None:
    text, key = make(connection, models=["iris"], rows_per_second=5)
    keyring.refresh()
    principal = keyring.authenticate(text.encode())
    assert (principal.owner, principal.key_id, principal.scopes) == ("somebody", key.id, frozenset({"predict"}))
    assert principal.may_use("iris")
    assert not principal.may_use("churn")
    assert principal.limit is not None
    assert (principal.limit.rows_per_second, principal.limit.burst) == (5, 5)
    keys.revoke(connection, key.id, "test")
    keyring.refresh()
    with pytest.raises(Unauthenticated):
        keyring.authenticate(text.encode())
    assert keys.revoke(connection, key.id, "another").revoked_by == "test"


def test_after_a_rotation_both_keys_open_until_the_overlap_ends(
    connection: BoundedConnection, keyring: Keyring
) -> None:
    old_text, old = make(connection, scopes=["jobs", "predict"], expires_in=1000, burst_rows=3)
    new_text, new = keys.rotate(connection, old.id, timedelta(seconds=100), "test", None)
    assert (new.rotated_from, new.owner, new.scopes, new.burst_rows) == (old.id, old.owner, old.scopes, 3)
    assert new.expires_at is not None
    assert abs((new.expires_at - new.created_at).total_seconds() - 1000) < 1
    keyring.refresh()
    assert keyring.authenticate(old_text.encode()).owner == keyring.authenticate(new_text.encode()).owner
    keys.rotate(connection, old.id, timedelta(0), "test", None)
    keyring.refresh()
    with pytest.raises(Unauthenticated):
        keyring.authenticate(old_text.encode())
    with pytest.raises(KeyNotActive):
        keys.rotate(connection, old.id, timedelta(0), "test", None)


def caller_of(key: api_key.ApiKey) -> Principal:
    models = None if key.models is None else frozenset(key.models)
    return Principal(key.owner, key.id, frozenset(key.scopes), models)


def test_a_key_gives_nothing_that_it_has_not_itself(connection: BoundedConnection) -> None:
    _, lesser = make(connection, owner="lesser", scopes=["keys:admin", "predict"], models=["iris"])
    grantor = caller_of(lesser)
    for scopes, models in ((["models:write"], ["iris"]), (["predict"], None), (["predict"], ["iris", "churn"])):
        with pytest.raises(Forbidden):
            keys.create(connection, KeySpec(owner="x", scopes=scopes, models=models), "lesser", grantor)
    keys.create(connection, KeySpec(owner="x", scopes=["predict"], models=["iris"]), "lesser", grantor)


@pytest.mark.parametrize("change", ["rotate", "revoke"])
def test_a_key_neither_replaces_nor_ends_what_is_beyond_its_reach(connection: BoundedConnection, change: str) -> None:
    def to(key: api_key.ApiKey, by: api_key.ApiKey) -> None:
        if change == "rotate":
            keys.rotate(connection, key.id, timedelta(0), by.owner, caller_of(by))
        else:
            keys.revoke(connection, key.id, by.owner, caller_of(by))

    _, lesser = make(connection, scopes=["keys:admin", "predict"])
    _, narrow = make(connection, scopes=list(SCOPES), models=["iris"])
    _, strong = make(connection, scopes=["models:write"])
    _, admin = make(connection, scopes=list(SCOPES))
    _, other = make(connection, models=["churn"])
    for key in (strong, admin):
        with pytest.raises(Forbidden):
            to(key, lesser)
    for key in (strong, admin, other):
        with pytest.raises(KeyNotFound):
            to(key, narrow)
    assert {key.state for key in api_key.every_key(connection) if key.id in {strong.id, admin.id, other.id}} == {
        "active"
    }
    to(make(connection, models=["iris"])[1], narrow)
    to(make(connection)[1], lesser)


def test_no_key_makes_one_that_outlives_it(connection: BoundedConnection) -> None:
    _, short = make(connection, scopes=["keys:admin", "predict"], expires_in=100)
    assert short.expires_at is not None
    grantor = caller_of(short)
    for lifetime in (None, 101, 10_000):
        with pytest.raises(Forbidden, match="outlive"):
            keys.create(connection, KeySpec(owner="x", scopes=["predict"], expires_in=lifetime), "x", grantor)
    _, made = keys.create(connection, KeySpec(owner="x", scopes=["predict"], expires_in=90), "x", grantor)
    assert made.expires_at is not None
    assert made.expires_at < short.expires_at
    for _ in range(3):
        _, made = keys.rotate(connection, made.id, timedelta(0), "x", grantor)
        assert made.expires_at is not None
        assert made.expires_at <= short.expires_at
    _, successor = keys.rotate(connection, short.id, timedelta(seconds=50), "x", grantor)
    assert successor.expires_at == short.expires_at, "it replaces itself, for the time that it has left"
    for lifetime in (None, 10_000):
        _, longer = make(connection, expires_in=lifetime)
        with pytest.raises(Forbidden, match="outlive"):
            keys.rotate(connection, longer.id, timedelta(0), "x", caller_of(successor))


@pytest.mark.parametrize(
    ("own", "refused", "given"),
    [
        (
            {"rows_per_second": 10},
            [{}, {"rows_per_second": 11}, {"burst_rows": 5}, {"rows_per_second": 5, "burst_rows": 11}],
            [{"rows_per_second": 10}, {"rows_per_second": 0.5, "burst_rows": 10}],
        ),
        (
            {"rows_per_second": 10, "burst_rows": 3},
            [{"rows_per_second": 10}, {"rows_per_second": 2}, {"rows_per_second": 10, "burst_rows": 4}],
            [{"rows_per_second": 10, "burst_rows": 3}],
        ),
        ({"burst_rows": 3}, [{}, {"burst_rows": 4}, {"rows_per_second": 9}], [{"burst_rows": 3}]),
        ({"waiting_jobs": 5}, [{}, {"waiting_jobs": 6}], [{"waiting_jobs": 5}, {"waiting_jobs": 1}]),
    ],
    ids=["rate", "rate and burst", "burst", "waiting jobs"],
)
def test_no_key_gives_wider_limits_than_its_own(
    connection: BoundedConnection, own: dict[str, Any], refused: list[dict[str, Any]], given: list[dict[str, Any]]
) -> None:
    _, bound = make(connection, scopes=["keys:admin", "predict"], **own)
    grantor = caller_of(bound)
    for limits in refused:
        with pytest.raises(Forbidden, match="wider limit"):
            keys.create(connection, KeySpec(owner="x", scopes=["predict"], **limits), "x", grantor)
        _, wider = make(connection, **limits)
        with pytest.raises(Forbidden, match="wider limit"):
            keys.rotate(connection, wider.id, timedelta(0), "x", grantor)
    for limits in given:
        _, made = keys.create(connection, KeySpec(owner="x", scopes=["predict"], **limits), "x", grantor)
        keys.rotate(connection, made.id, timedelta(0), "x", grantor)


def test_a_key_that_was_ended_a_moment_ago_changes_nothing_more(connection: BoundedConnection) -> None:
    """A process that has not read the revocation yet still lets it in; the database knows."""
    _, ended = make(connection, scopes=list(SCOPES))
    _, key = make(connection)
    keys.revoke(connection, ended.id, "test")
    late = caller_of(ended)
    with pytest.raises(Unauthenticated):
        keys.create(connection, KeySpec(owner="x", scopes=["predict"]), "x", late)
    with pytest.raises(Unauthenticated):
        keys.rotate(connection, key.id, timedelta(0), "x", late)
    with pytest.raises(Unauthenticated):
        keys.revoke(connection, key.id, "x", late)


def test_who_is_bound_to_models_sees_the_keys_and_the_entries_of_these_alone(connection: BoundedConnection) -> None:
    _, mine = make(connection, models=["seen"])
    _, both = make(connection, models=["seen", "hidden"])
    _, whole = make(connection)
    for subject in ("seen", "seen/1", "hidden/1", "seenless/1", "key/7"):
        audit.record(connection, actor="test", action="model.publish", subject=subject)
    found = {key.id for key in api_key.every_key(connection, {"seen"})}
    assert mine.id in found
    assert not found & {both.id, whole.id}
    subjects = {entry.subject for entry in audit.entries(connection, limit=1000, models={"seen"})}
    assert subjects == {"seen", "seen/1", f"key/{mine.id}"}
    assert {entry.subject for entry in audit.entries(connection, limit=1000, models={"key"})} == {"key/7"}


def test_a_keys_rights_cannot_be_widened_even_in_the_database(connection: BoundedConnection) -> None:
    _, key = make(connection, expires_in=100)
    keys.revoke(connection, key.id, "test")
    for change in (
        "scopes = '{keys:admin}'",
        "owner = 'another'",
        "expires_at = NULL",
        "revoked_at = NULL, revoked_by = NULL",
    ):
        with pytest.raises(psycopg.errors.IntegrityError, match="only ever loses"):
            connection.execute(f"UPDATE api_keys SET {change} WHERE id = %s", (key.id,))


def test_every_change_of_a_key_is_on_record(connection: BoundedConnection) -> None:
    _, key = make(connection)
    _, new = keys.rotate(connection, key.id, timedelta(0), "alice", None)
    keys.revoke(connection, new.id, "bob")
    found = audit.entries(connection, limit=3, subject="key")
    assert [(entry.actor, entry.action, entry.subject) for entry in found] == [
        ("bob", "key.revoke", f"key/{new.id}"),
        ("alice", "key.rotate", f"key/{new.id}"),
        ("test", "key.create", f"key/{key.id}"),
    ]


def test_the_key_of_a_file_is_taken_on_once(connection: BoundedConnection, keyring: Keyring) -> None:
    text = new_key_text()
    assert keys.ensure_admin(connection, text, "test") is not None
    assert keys.ensure_admin(connection, text, "test") is None
    keyring.refresh()
    assert keyring.authenticate(text.encode()).scopes == set(SCOPES)
    with pytest.raises(InvalidSettings):
        keys.ensure_admin(connection, "secret", "test")


def test_keys_are_used_for_a_while_without_postgresql_and_then_nobody_is_judged(module_settings: Settings) -> None:
    access = module_settings.access.model_copy(update={"stale_seconds": 60.0})
    with Database.of(module_settings).connect("test") as connection:
        text, _ = make(connection)
    ring = Keyring(Database.of(module_settings), access)
    with pytest.raises(KeysUnavailable):
        ring.authenticate(text.encode())
    ring.refresh()
    assert ring.authenticate(text.encode()).owner == "somebody"
    ring._usable_until -= 61
    with pytest.raises(KeysUnavailable):
        ring.authenticate(text.encode())
    ring.start()
    ring.stop()


def test_uses_and_refusals_are_written_by_the_way_and_at_most_once_a_minute(
    connection: BoundedConnection, keyring: Keyring
) -> None:
    text, key = make(connection)
    keyring.refresh()
    for _ in range(5):
        keyring.authenticate(text.encode())
        keyring.deferred.refuse("somebody", key.id, "POST /keys", "scope")
    keyring.deferred.write(connection)
    seen = next(found for found in api_key.every_key(connection) if found.id == key.id)
    assert seen.last_used_at is not None
    keyring.authenticate(text.encode())
    keyring.deferred.write(connection)
    again = next(found for found in api_key.every_key(connection) if found.id == key.id)
    assert again.last_used_at == seen.last_used_at
    entries = audit.entries(connection, limit=10, subject=f"key/{key.id}")
    assert [(entry.action, entry.outcome) for entry in entries] == [("POST /keys", "refused"), ("key.create", "done")]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        ({}, "/owner"),
        ({"owner": "", "scopes": ["predict"]}, "/owner"),
        ({"owner": "a b", "scopes": ["predict"]}, "/owner"),
        ({"owner": "a\n", "scopes": ["predict"]}, "/owner"),
        ({"owner": "a", "scopes": []}, "/scopes"),
        ({"owner": "a", "scopes": ["root"]}, "/scopes"),
        ({"owner": "a", "scopes": ["jobs", "jobs"]}, "/scopes"),
        ({"owner": "a", "scopes": "jobs"}, "/scopes"),
        ({"owner": "a", "scopes": ["jobs", 1]}, "/scopes/1"),
        ({"owner": "a", "scopes": ["jobs"], "models": []}, "/models"),
        ({"owner": "a", "scopes": ["jobs"], "models": ["../x"]}, "/models/0"),
        ({"owner": "a", "scopes": ["jobs"], "expires_in": 0}, "/expires_in"),
        ({"owner": "a", "scopes": ["jobs"], "expires_in": "1"}, "/expires_in"),
        ({"owner": "a", "scopes": ["jobs"], "rows_per_second": -1}, "/rows_per_second"),
        ({"owner": "a", "scopes": ["jobs"], "burst_rows": True}, "/burst_rows"),
        ({"owner": "a", "scopes": ["jobs"], "waiting_jobs": 10**30}, "/waiting_jobs"),
        ({"owner": "a", "scopes": ["jobs"], "id": "x"}, "/id"),
    ],
)
def test_a_key_that_is_described_wrongly_is_refused_by_the_place_of_the_fault(document: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        KeySpec.of_document(document)
    assert refusal.value.faults[0].pointer.startswith(pointer)
