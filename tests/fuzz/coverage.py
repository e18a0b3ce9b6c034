"""A coverage-guided fuzzer (Atheris, which is libFuzzer) on one target: `python tests/fuzz/coverage.py TARGET SECONDS`.

What it finds is written to `crash-...` in the working folder. `list` names the targets.
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1])]
with atheris.instrument_imports(include=["ai_platform", "httptools", "h11"]):
    from fuzz.targets import SEEDS, TARGETS


def seeds_of(name: str) -> list[bytes]:
    """Inputs to begin with."""
    if name != "protocol":
        return SEEDS[name]
    from api.server.differential.cases import every_case

    return [bytes([len(case.whole) // 2 % 256]) + case.whole for case in every_case(0) if len(case.whole) < 600]


def main() -> None:
    """Try one target for so many seconds."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds_of(name)):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [
            "-max_len=4096",
            f"-max_total_time={seconds}",
            "-print_final_stats=1",
            "-rss_limit_mb=1024",
            "-timeout=10",
        ]
        atheris.Setup([sys.argv[0], *options, folder], TARGETS[name]())
        atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:] == ["list"]:
        print(*TARGETS)
    else:
        main()
