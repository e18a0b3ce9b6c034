"""The commands of docs/how-to/authenticate.md, run from top to bottom as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from access.conftest import Guarded
from harness import environment

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "authenticate.md"


def test_the_commands_of_the_page_do_what_they_say(guarded: Guarded, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    script = "\n".join(["set -eu", *blocks]).replace("http://localhost:8000", guarded.platforms[0].url)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ai-platform").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ai_platform.cli "$@"\n')
    (programs / "ai-platform").chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment(guarded.settings) | {"PATH": f"{programs}:{os.environ['PATH']}"},
        cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"label":"setosa"' in done.stdout
    assert '"action":"key.revoke"' in done.stdout
