"""One platform for all of these tests, broken and healed again and again; the long ones only when asked for."""

import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from chaos import report as kept
from chaos.rig import SCALED, Rig
from harness import Iris

COUNT = int(os.environ.get("CHAOS_COUNT", "1"))
ZOMBIES = int(os.environ.get("CHAOS_ZOMBIES", str(COUNT)))
LONG_COUNT = int(os.environ.get("CHAOS_LONG_COUNT", str(min(COUNT, 3))))
# How often each repeated test passed and failed, by its sentence and what it breaks.
SEEN: dict[str, Counter[str]] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`CHAOS_COUNT` times each crash point; those over ten seconds `CHAOS_LONG_COUNT`, the zombie `CHAOS_ZOMBIES`."""
    if "repetition" not in metafunc.fixturenames:
        return
    count = COUNT
    if metafunc.definition.get_closest_marker("slow_point") is not None:
        count = LONG_COUNT
    elif "zombie" in metafunc.definition.name:
        count = ZOMBIES
    metafunc.parametrize("repetition", range(count))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what the repeated tests saw; an error before or after a test is a failure of it."""
    if "CHAOS_COUNT" in os.environ and (report.when == "call" or report.failed):
        name = report.nodeid.rpartition("::")[2].removeprefix("test_")
        name = re.sub(r"\[\d+-?", "[", name).removesuffix("[]").replace("_", " ")
        SEEN.setdefault(name, Counter())[report.outcome] += 1


def pytest_sessionfinish() -> None:
    """Keep the counts."""
    if SEEN:
        rows = [[name, counts["passed"], counts["failed"]] for name, counts in sorted(SEEN.items())]
        story = (
            "Each by itself, on purpose, at scaled intervals; after each: nothing waits, every invariant holds, no row"
            " changed after its end."
        )
        table = kept.table(["What is broken", "Held", "Did not hold"], rows)
        kept.keep("points", "Named crash points", [story, "", *table])


@pytest.fixture(scope="session")
def broken_rig(iris: Iris, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig.started(iris, tmp_path_factory.mktemp("rig"), max_attempts=3, **SCALED) as rig:
        yield rig


@pytest.fixture
def rig(broken_rig: Rig) -> Iterator[Rig]:
    """The shared platform, whole at the beginning, and honest at the end."""
    broken_rig.renew_client()
    broken_rig.ready()
    yield broken_rig
    broken_rig.heal()
    broken_rig.assert_honest()
