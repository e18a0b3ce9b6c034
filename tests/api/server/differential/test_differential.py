"""Our way of reading HTTP beside those of h11 and nginx: what each sees in the same bytes, and why, where they differ.

Some hundred connections in the default suite, all of them by `make http-differential`. Without nginx (on Debian the
package `nginx-light`) they are compared with h11 alone, and the test says so.
"""

import asyncio
import os
import random

import pytest

from api.server.differential.cases import every_case
from api.server.differential.comparing import Difference, Report, compare, rules
from api.server.differential.observing import Request, Seen
from api.server.differential.servers import NGINX

ALL = os.environ.get("HTTP_CASES") == "all"
CHANGED = 2_000 if ALL else 300
SOME = 400


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    cases = every_case(CHANGED)
    if not ALL:
        cases = random.Random(20_261_127).sample(cases, SOME)
    return asyncio.run(compare(cases, tmp_path_factory.mktemp("nginx")))


def test_every_difference_from_other_servers_is_explained(report: Report) -> None:
    explained = sum(report.explained.values())
    compared = ", ".join(f"{count} with {other}" for other, count in report.compared.items())
    print(f"{report.cases} connections compared ({compared}): {explained} differences, each explained by one of")
    for name, count in report.explained.most_common():
        print(f"  {count:5} {name}")
    assert report.unexplained == [], "\n".join(map(_told, report.unexplained[:20]))
    assert report.compared["h11"] == report.cases
    if NGINX is None:
        pytest.skip("nginx is not installed (Debian: nginx-light): compared with h11 alone")
    assert report.compared["nginx"] == report.cases


@pytest.mark.skipif(not ALL, reason="the short form has not a case for each rule; make http-differential has")
def test_every_rule_explains_something(report: Report) -> None:
    assert report.cases >= 5_000
    if NGINX is None:
        pytest.skip("nginx is not installed (Debian: nginx-light), and some rules are about it")
    assert {rule.name for rule in rules()} - report.explained.keys() == set()


def test_no_rule_allows_another_body_or_other_requests() -> None:
    assert [rule.name for rule in rules() if {"body", "requests"} & {*rule.kinds}] == ["the preface of HTTP/2"]
    assert all(rule.reason and rule.section.startswith("RFC ") for rule in rules())


def _told(difference: Difference) -> str:
    own, others = _brief(difference.own), _brief(difference.others)
    what = f"{difference.kind}, {difference.case.name}: {difference.case.pieces}"
    return f"{what}\n  ours: {own}\n  {difference.other}: {others}"


def _brief(seen: Seen) -> str:
    answers = [
        f"{one.method} {one.target} {one.body!r}" if isinstance(one, Request) else str(one) for one in seen.answers
    ]
    return f"{', '.join(answers) or 'nothing'}; {seen.end}"
