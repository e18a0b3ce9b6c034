import json
import os
import stat
from pathlib import Path

import pytest

from ai_platform.errors import StackError
from ai_platform.local.embedded.data_folder import opened


def everything(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    """All that a refusal must leave as it is."""
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def refused(path: Path, match: str) -> None:
    with pytest.raises(StackError, match=match), opened(path):
        pass


def test_a_new_folder_lists_nothing_to_others(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "data") as folder:
        expected = 0o711 if os.geteuid() == 0 else 0o700
        assert stat.S_IMODE(folder.path.stat().st_mode) == expected
        assert stat.S_IMODE(folder.run.stat().st_mode) == 0o700


def test_a_folder_of_somebody_elses_making_keeps_its_mode(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    made.chmod(0o755)
    with opened(made):
        pass
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


def test_a_folder_keeps_its_identity_and_one_made_anew_has_another(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as first, opened(tmp_path / "other") as other:
        assert first.identity != other.identity
        identity = first.identity
    with opened(tmp_path / "data") as again:
        assert again.identity == identity


def test_a_folder_that_is_held_is_refused_and_free_again_afterwards(tmp_path: Path) -> None:
    with opened(tmp_path):
        refused(tmp_path, rf"process {os.getpid()}\) runs on the data folder")
    with opened(tmp_path):
        pass


@pytest.mark.parametrize(
    ("layout", "match"),
    [
        ({"layout": 2, "postgres": 18, "id": "x"}, "has layout 2, and this version of ai-platform works with 1"),
        ({"layout": 1, "postgres": 17, "id": "x"}, "made by PostgreSQL 17, and this is 18"),
        ({}, "has layout unknown"),
        ([1], "has layout unknown"),
    ],
)
def test_a_folder_of_another_version_is_refused_and_nothing_in_it_changes(
    layout: object, match: str, tmp_path: Path
) -> None:
    (tmp_path / "layout.json").write_text(json.dumps(layout))
    before = everything(tmp_path)
    refused(tmp_path, match)
    assert everything(tmp_path) == before


def test_a_cluster_of_another_major_version_is_refused_whatever_the_layout_says(tmp_path: Path) -> None:
    with opened(tmp_path):
        (tmp_path / "postgres" / "data").mkdir(parents=True)
        (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    before = everything(tmp_path)
    refused(tmp_path, "made by PostgreSQL 17")
    assert everything(tmp_path) == before


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    before = everything(tmp_path)
    refused(tmp_path, r"holds other things \(thesis.tex\); name an empty or a new folder")
    assert everything(tmp_path) == before


def test_a_folder_in_which_train_left_its_keys_is_taken(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with opened(tmp_path):
        pass


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_place_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / name, "--data-dir")
