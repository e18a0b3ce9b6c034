import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ai_platform.local.embedded.ports import OURS, is_free, kept_port


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    with listening() as port:
        assert not is_free(port)
    assert is_free(port)


def test_a_port_is_kept_while_it_is_free_and_replaced_when_it_is_not(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = kept_port(file, "postgres")
    assert first in OURS
    assert kept_port(file, "postgres") == first
    other = kept_port(file, "redis")
    assert other != first
    with listening(first):
        moved = kept_port(file, "postgres")
    assert moved not in {first, other}
    assert json.loads(file.read_text()) == {"postgres": moved, "redis": other}


def test_a_spoilt_list_of_ports_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    for spoilt in ("", "[]", '{"postgres": "x"}'):
        file.write_text(spoilt)
        assert kept_port(file, "postgres") in OURS
