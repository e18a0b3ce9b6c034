"""What the audit of the locked packages makes of pip-audit's reports."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.quick

FILE = Path(__file__).parents[2] / "requirements" / "audit.py"
GOOD = {"name": "good", "version": "1.0", "vulns": []}
WEAK = {"name": "weak", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNSEEN = {"name": "unseen", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.fixture
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        (([GOOD], None), 0, "1 packages checked with pypi"),
        (([GOOD, WEAK], None), 1, "weak 1.0: PYSEC-1, fixed in 1.1"),
        (([GOOD, UNSEEN], None), 1, "unseen: not checked"),
        (([UNSEEN], [GOOD, WEAK]), 1, "weak 1.0: PYSEC-1"),
        ((None, [GOOD]), 0, "checked with osv"),
        (([UNSEEN], None), 0, "no advisory source was reachable"),
        ((None, None), 0, "no advisory source was reachable"),
    ],
)
def test_what_could_not_be_checked_is_never_taken_for_clean(
    audit: Any,
    capsys: pytest.CaptureFixture[str],
    answers: tuple[Any, Any],
    status: int,
    said: str,
) -> None:
    audit._ask = lambda source, _name: answers[audit.SOURCES.index(source)]  # the module is this test's own
    assert audit.main() == status
    written = capsys.readouterr()
    assert said in written.out + written.err


def test_every_lock_file_is_audited(audit: Any) -> None:
    assert {path.name for path in FILE.parent.glob("*.txt")} == set(audit.LOCKED)
