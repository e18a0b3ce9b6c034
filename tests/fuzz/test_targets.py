"""The targets of the coverage-guided fuzzer keep their promise for what it begins with, and for what it once found."""

import pytest

from api.server.differential.cases import every_case
from fuzz.targets import SEEDS, TARGETS, Protocol

FOUND: dict[str, list[bytes]] = {}


@pytest.mark.parametrize("name", SEEDS)
def test_a_parser_reads_or_refuses_what_the_fuzzer_begins_with(name: str) -> None:
    target = TARGETS[name]()
    for data in (*SEEDS[name], *FOUND.get(name, ()), b"", b"\x00", b"\xff" * 64):
        target(data)


def test_the_protocol_sees_the_same_requests_wherever_bytes_are_cut() -> None:
    target = Protocol()
    cases = [case.whole for case in every_case(0) if len(case.whole) < 600]
    for data in (*FOUND.get("protocol", ()), *(bytes([7 * number % 256]) + case for number, case in enumerate(cases))):
        target(data)
    target.close()
