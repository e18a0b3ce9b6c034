"""Schemathesis against a running platform: whatever the document describes is answered as the document says.

`FUZZ_EXAMPLES` requests of each kind for each operation (10, of both kinds 20; `make fuzz` asks for 200).
"""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ai_platform.api.http.deadline import LONGEST_MS
from ai_platform.settings import Settings
from harness import Platform, eventually

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
LONG = EXAMPLES > 10
# Their bodies have rules that a schema says badly: one of two members, integers that are written without a point.
UNSAID = {"/models/{name}/versions", "/models/{name}/aliases/{alias}", "/models/{name}/promote"}
# The same requests at each run of the default suite; others at each run of `make fuzz`.
TRIES = settings(
    max_examples=EXAMPLES, derandomize=not LONG, deadline=None, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def platform(module_settings: Settings) -> Iterator[Platform]:
    """One of its own, because requests at random may delete and move what other tests rely on."""
    limits = module_settings.limits.model_copy(update={"wait_seconds": 2.0, "stream_seconds": 2.0})
    with Platform.running(module_settings.model_copy(update={"limits": limits})) as running:
        yield running


@pytest.fixture(scope="module")
def document(platform: Platform) -> Any:
    return schemathesis.openapi.from_url(f"{platform.url}/openapi.json")


@pytest.fixture(scope="module")
def known(platform: Platform) -> dict[str, Any]:
    """Parts of paths that lead somewhere."""
    job = platform.accept()
    eventually(lambda: platform.job(job)["status"] == "succeeded", 30, "the job has ended")
    return {"name": "iris", "version": 1, "job_id": job}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as shared:
        yield shared


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_operation_answers_as_the_document_says(
    document: Any, known: dict[str, Any], session: requests.Session, mode: GenerationMode
) -> None:
    tried, failures = 0, []
    for found in document.get_all_operations():
        operation = found.ok()
        try:
            tried += _try(operation, known, session, mode)
        except Unsatisfiable:
            assert not list(operation.iter_parameters()), "what takes a parameter can be asked badly"
        except (Exception, BaseExceptionGroup) as failure:  # noqa: BLE001  # all are tried, and told of together
            failures.append(f"{operation.method.upper()} {operation.path}: {failure}")
    assert not failures, "\n\n".join(failures)
    assert tried > 0


def _try(operation: Any, known: dict[str, Any], session: requests.Session, mode: GenerationMode) -> int:
    fixed = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
    others = [given for given in operation.iter_parameters() if given.location != "path"] or operation.body
    cases = operation.as_strategy(generation_mode=mode)
    if fixed and (others or mode is GenerationMode.POSITIVE):
        cases = operation.as_strategy(generation_mode=mode, path_parameters=fixed) | cases
    tried = 0

    @TRIES
    @given(cases)
    def send(case: Any) -> None:
        nonlocal tried
        tried += 1
        if mode is GenerationMode.POSITIVE and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = (
                uuid.uuid4().hex
            )  # one that was used with another body is refused, rightly
        _be_patient(case)
        case.call_and_validate(session=session, excluded_checks=_excused(case), timeout=40)

    send()
    return tried


def _be_patient(case: Any) -> None:
    """A deadline of a millisecond is answered with 504, rightly."""
    given = str((case.headers or {}).get("X-Request-Timeout-Ms", ""))
    if given.isascii() and given.isdigit() and 1 <= int(given) <= LONGEST_MS:
        case.headers["X-Request-Timeout-Ms"] = str(LONGEST_MS)


def _excused(case: Any) -> list[Any]:
    """A cursor is text to the document, but only the platform can make one."""
    unsaid = "cursor" in (case.query or {}) or case.operation.path in UNSAID
    return [positive_data_acceptance] if unsaid else []


def test_what_one_operation_made_the_others_find(document: Any) -> None:
    """Sequences of requests, each with what the answers before it named."""

    class Sequences(document.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            _be_patient(case)

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:  # noqa: ARG002
            # A key that an earlier request of the sequence used with another body is refused, rightly.
            keyed = [positive_data_acceptance] if "Idempotency-Key" in (case.headers or {}) else []
            case.validate_response(response, excluded_checks=[*_excused(case), *keyed])

    run_state_machine_as_test(
        Sequences, settings=settings(TRIES, max_examples=max(EXAMPLES // 4, 2), stateful_step_count=8 if LONG else 4)
    )
