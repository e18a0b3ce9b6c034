"""Keys in the database: what they are, what bounds who makes them, and that every change is on record."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ai_platform.access import keys
from ai_platform.access.key_text import digest_of, id_of, new_key_text
from ai_platform.access.keyring import Keyring
from ai_platform.access.principal import SCOPES, Principal
from ai_platform.access.terms import Terms, terms_of
from ai_platform.errors import Forbidden, InvalidInput, InvalidSettings, KeyNotActive, KeysUnavailable, Unauthenticated
from ai_platform.settings import Settings
from ai_platform.storage import audit, postgres
from ai_platform.storage.postgres import BoundedConnection


@pytest.fixture(scope="module")
def connection(module_settings: Settings) -> Iterator[BoundedConnection]:
    with postgres.connect(module_settings, "test") as connection:
        yield connection


@pytest.fixture
def keyring(module_settings: Settings) -> Iterator[Keyring]:
    ring = Keyring(module_settings)
    yield ring
    ring.start()
    ring.stop()


def make(connection: BoundedConnection, **terms: Any) -> tuple[str, keys.ApiKey]:
    wanted = Terms(**{"owner": "somebody", "scopes": ["predict"], **terms})
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
    text, key = make(connection, models=["iris"], rows_a_second=5)
    keyring.refresh()
    principal = keyring.authenticate(text.encode())
    assert (principal.owner, principal.key_id, principal.scopes) == ("somebody", key.id, frozenset({"predict"}))
    assert principal.may_use("iris")
    assert not principal.may_use("churn")
    assert principal.limit is not None
    assert (principal.limit.rows_a_second, principal.limit.burst) == (5, 5)
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


def test_a_key_gives_nothing_that_it_has_not_itself(connection: BoundedConnection) -> None:
    grantor = Principal("lesser", "lesser00", frozenset({"keys:admin", "predict"}), frozenset({"iris"}))
    _, strong = make(connection, scopes=["models:write"])
    _, wide = make(connection, scopes=["predict"])
    for scopes, models in ((["models:write"], ["iris"]), (["predict"], None), (["predict"], ["iris", "churn"])):
        with pytest.raises(Forbidden):
            keys.create(connection, Terms(owner="x", scopes=scopes, models=models), "lesser", grantor)
    for key in (strong, wide):
        with pytest.raises(Forbidden):
            keys.rotate(connection, key.id, timedelta(0), "lesser", grantor)
    keys.create(connection, Terms(owner="x", scopes=["predict"], models=["iris"]), "lesser", grantor)


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
    access = module_settings.access.model_copy(update={"stale_seconds": 0.05})
    with postgres.connect(module_settings, "test") as connection:
        text, _ = make(connection)
    ring = Keyring(module_settings.model_copy(update={"access": access}))
    with pytest.raises(KeysUnavailable):
        ring.authenticate(text.encode())
    ring.refresh()
    assert ring.authenticate(text.encode()).owner == "somebody"
    ring._usable_until -= 0.06
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
        keyring.notes.refuse("somebody", key.id, "POST /keys", "scope")
    keyring.notes.write(connection)
    seen = next(found for found in keys.every_key(connection) if found.id == key.id)
    assert seen.last_used_at is not None
    keyring.authenticate(text.encode())
    keyring.notes.write(connection)
    again = next(found for found in keys.every_key(connection) if found.id == key.id)
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
        ({"owner": "a", "scopes": ["jobs"], "rows_a_second": -1}, "/rows_a_second"),
        ({"owner": "a", "scopes": ["jobs"], "burst_rows": True}, "/burst_rows"),
        ({"owner": "a", "scopes": ["jobs"], "waiting_jobs": 10**30}, "/waiting_jobs"),
        ({"owner": "a", "scopes": ["jobs"], "id": "x"}, "/id"),
    ],
)
def test_a_key_that_is_described_wrongly_is_refused_by_the_place_of_the_fault(document: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        terms_of(document)
    assert refusal.value.faults[0].pointer.startswith(pointer)
