"""Keys over HTTP and at the terminal: made, used, revoked everywhere, on record, and in no log."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from access.conftest import Guarded
from ai_platform.access.bind_policy import is_loopback
from ai_platform.access.key_text import KEY_IN_BYTES
from ai_platform.cli.app import app
from ai_platform.errors import InvalidSettings, PlatformError
from ai_platform.local.stack import run_stack
from ai_platform.processes.output import Output
from ai_platform.settings import PREFIX, Settings
from harness import SAMPLE, environment, eventually


def cli(*words: str, settings: Settings, **more: str) -> Result:
    """A command in this process, where starting one costs nothing."""
    wanted = {name: value for name, value in environment(settings).items() if name.startswith(PREFIX)}
    return CliRunner().invoke(app, list(words), env={**wanted, "COLUMNS": "200", **more})


def test_a_key_is_made_used_rotated_and_revoked_on_every_process_within_five_seconds(guarded: Guarded) -> None:
    made = guarded.call("POST", "/keys", "admin", json={"owner": "alice", "scopes": ["predict"]})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    body: dict[str, Any] = made.json()
    assert guarded.call("POST", "/predict/", body["key"], json=SAMPLE).status_code == 200
    assert guarded.call("GET", "/jobs", body["key"]).json()["code"] == "forbidden"
    rotated = guarded.call("POST", f"/keys/{body['id']}/rotate?overlap_seconds=60", "admin").json()
    for client in (guarded.client, guarded.second):
        for text in (body["key"], rotated["key"]):
            eventually(
                lambda text=text, client=client: (  # type: ignore[misc]
                    guarded.call("POST", "/predict/", text, json=SAMPLE, client=client).status_code == 200
                )
            )
    revoked = guarded.call("DELETE", f"/keys/{rotated['id']}", "admin", client=guarded.second)
    begun = time.monotonic()
    assert revoked.json()["state"] == "revoked"
    for client in (guarded.second, guarded.client):
        eventually(
            lambda client=client: (  # type: ignore[misc]
                guarded.call("POST", "/predict/", rotated["key"], json=SAMPLE, client=client).status_code == 401
            ),
            seconds=5 - (time.monotonic() - begun),
        )
    assert time.monotonic() - begun < 5


def test_an_open_stream_ends_when_its_key_does(guarded: Guarded) -> None:
    made = guarded.call("POST", "/keys", "admin", json={"owner": "dora", "scopes": ["predict", "jobs"]}).json()
    job = guarded.call("POST", "/predict/async", made["key"], json=SAMPLE).json()["id"]
    headers = {"Authorization": f"Bearer {made['key']}"}
    with guarded.client.stream("GET", f"/jobs/{job}/events", headers=headers) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: queued"
        other = guarded.call("POST", "/keys", "admin", json={"owner": "dora", "scopes": ["jobs"]}).json()
        guarded.call("DELETE", f"/keys/{made['id']}", "admin", client=guarded.platforms[0].client)
        guarded.call("POST", f"/jobs/{job}/cancel", other["key"])
        assert [line for line in lines if line.startswith("event")] == []


def test_a_list_of_keys_holds_no_secret(guarded: Guarded) -> None:
    answer = guarded.call("GET", "/keys", "admin")
    assert answer.status_code == 200
    assert len(answer.json()["keys"]) >= 1
    assert not KEY_IN_BYTES.search(answer.content)
    assert not [key for key in answer.json()["keys"] if {"key", "sha256", "secret"} & set(key)]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/keys", {"owner": "x", "scopes": ["root"]}, (422, "invalid_input")),
        ("POST", "/keys", [], (422, "invalid_input")),
        ("POST", "/keys/00000000/rotate", None, (404, "key_not_found")),
        ("POST", "/keys/%00/rotate", None, (404, "key_not_found")),
        ("DELETE", "/keys/00000000", None, (404, "key_not_found")),
        ("DELETE", "/keys/no-such-key", None, (404, "key_not_found")),
        ("POST", "/keys/00000000/rotate?overlap_seconds=-1", None, (422, "invalid_parameter")),
        ("GET", "/audit?limit=0", None, (422, "invalid_parameter")),
        ("GET", "/audit?page=1", None, (422, "invalid_parameter")),
        ("GET", "/audit?cursor=AAAA", None, (400, "invalid_cursor")),
        ("GET", "/audit?cursor=%E2%82%AC", None, (400, "invalid_cursor")),
        ("GET", "/audit?subject=%00", None, (422, "invalid_parameter")),
    ],
)
def test_a_bad_request_about_keys_gets_a_clear_4xx(
    guarded: Guarded, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    answer = guarded.call(method, path, "admin", json=body)
    assert (answer.status_code, answer.json()["code"]) == expected


def test_a_key_cannot_give_what_it_has_not_and_the_try_is_on_record(guarded: Guarded) -> None:
    lesser = guarded.call("POST", "/keys", "admin", json={"owner": "lesser", "scopes": ["keys:admin"]}).json()
    for _ in range(3):
        answer = guarded.call("POST", "/keys", lesser["key"], json={"owner": "x", "scopes": ["predict"]})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    plain = guarded.call("POST", "/keys", "admin", json={"owner": "plain", "scopes": ["predict"]}).json()
    for _ in range(3):
        assert guarded.call("GET", "/keys", plain["key"]).status_code == 403

    def refusals(key_id: str) -> list[tuple[str, str]]:
        found = guarded.call("GET", f"/audit?subject=key/{key_id}", "admin").json()["entries"]
        return [(entry["action"], entry["outcome"]) for entry in found if entry["outcome"] == "refused"]

    eventually(lambda: refusals(lesser["id"]) and refusals(plain["id"]))
    assert refusals(lesser["id"]) == [("key.create", "refused")]
    assert refusals(plain["id"]) == [("GET /keys", "refused")]


def test_the_audit_log_pages_through_all_entries_once(guarded: Guarded) -> None:
    for _ in range(3):
        guarded.call("POST", "/keys", "admin", json={"owner": "x", "scopes": ["predict"]})
    ids, path = [], "/audit?limit=2&subject=key"
    while path:
        page = guarded.call("GET", path, "admin").json()
        ids += [entry["id"] for entry in page["entries"]]
        path = page["next"]
    assert len(ids) >= 4
    assert ids == sorted(set(ids), reverse=True)


def test_the_terminal_makes_lists_rotates_and_revokes(guarded: Guarded) -> None:
    settings = guarded.settings
    made = json.loads(
        cli("keys", "create", "--owner", "carol", "--scope", "predict", "--json", settings=settings).stdout
    )
    guarded.texts["carol"] = made["key"]
    guarded.until_known("carol")
    rotated = cli("keys", "rotate", made["id"], "--overlap-hours", "0", settings=settings)
    assert re.fullmatch(r"aip_\w{8}_\w{43}_\w{6}\n", rotated.stdout)
    assert "for the only time" in rotated.stderr
    guarded.texts["carol too"] = rotated.stdout.strip()
    revoked = cli("keys", "revoke", rotated.stdout[4:12], settings=settings)
    assert revoked.stdout == f"{rotated.stdout[4:12]} of carol: revoked\n"
    table = cli("keys", "list", settings=settings).stdout
    assert "expired" in table
    assert "revoked" in table
    assert not KEY_IN_BYTES.search(table.encode())
    log = json.loads(cli("audit", "--limit", "3", "--json", settings=settings).stdout)
    assert [entry["action"] for entry in log] == ["key.revoke", "key.rotate", "key.create"]
    assert "key.revoke" in cli("audit", settings=settings).stdout
    eventually(lambda: guarded.call("POST", "/predict/", "carol", json=SAMPLE).status_code == 401)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create",), "--owner"),
        (("create", "--owner", "x"), "--scope"),
        (("create", "--owner", "x", "--scope", "root"), "--scope"),
        (("create", "--admin", "--expires-days", "-1"), "--expires-days"),
        (("revoke", "nonsense"), "there is no key with this id"),
    ],
)
def test_the_terminal_says_in_a_sentence_what_is_wrong(guarded: Guarded, words: tuple[str, ...], said: str) -> None:
    done = cli("keys", *words, settings=guarded.settings)
    assert isinstance(done.exception, PlatformError)  # which `main` shows as one sentence, with exit status 1
    assert said in done.exception.detail


def test_a_key_in_a_file_is_taken_on_by_migrate(guarded: Guarded, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(cli("keys", "generate", settings=guarded.settings).stdout)
    guarded.texts["from a file"] = (tmp_path / "key").read_text().strip()
    named = {"AI_PLATFORM_ADMIN_KEY_FILE": str(tmp_path / "key")}
    assert "made" in cli("migrate", settings=guarded.settings, **named).stdout
    guarded.until_known("from a file")
    assert guarded.call("GET", "/keys", "from a file").status_code == 200
    (tmp_path / "key").write_text("hunter2")
    refused = cli("migrate", settings=guarded.settings, **named)
    assert isinstance(refused.exception, PlatformError)
    assert "hunter2" not in refused.exception.detail + refused.output


@pytest.mark.parametrize("variable", ["AI_PLATFORM_API__HOST", "AI_PLATFORM_BIND"])
def test_without_authentication_nothing_listens_for_others(settings: Settings, tmp_path: Path, variable: str) -> None:
    bare = settings.model_copy(update={"data_dir": tmp_path / "data"})
    done = cli("api", settings=bare, **{variable: "0.0.0.0"})
    assert isinstance(done.exception, InvalidSettings)
    assert "authentication is off" in done.exception.detail
    assert "AI_PLATFORM_AUTH=on" in done.exception.detail
    exposed = bare.model_copy(update={"bind": "0.0.0.0"})
    with pytest.raises(InvalidSettings, match="authentication is off"):
        run_stack(exposed, Output(2, colour=False))
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("::", False), ("", False), ("192.168.0.4", False), ("example.org", False)],
)  # fmt: skip
def test_only_loopback_is_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_no_log_holds_a_key_that_was_ever_used(guarded: Guarded) -> None:
    assert guarded.texts
    for platform in guarded.platforms:
        for path in platform.folder.glob("*.log"):
            content = path.read_bytes()
            assert not KEY_IN_BYTES.search(content)
            assert not [name for name, text in guarded.texts.items() if text[13:56].encode() in content]
