"""The reference under docs/ is what the code says today."""

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

from ai_platform import settings, telemetry
from ai_platform.api.app import ROUTES
from ai_platform.api.openapi import predictions
from ai_platform.codecs.problem_details import PROBLEMS

pytestmark = pytest.mark.quick

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current(generator: Any) -> None:
    stale = [name for name, text in generator.pages().items() if _page(name) != text]
    assert not stale, f"run `make docs`; not current: {stale}"


def test_nothing_else_stands_in_the_reference(generator: Any) -> None:
    assert {path.name for path in (DOCS / "reference").iterdir()} == set(generator.pages())


def test_every_setting_is_documented_with_what_it_is() -> None:
    page = _page("settings.md")
    for name, description in settings.variables().items():
        assert f"| `{name}` |" in page
        assert description
        assert description in page


def test_every_metric_is_documented() -> None:
    page = _page("metrics.md")
    found = [metric for metric in vars(telemetry).values() if isinstance(metric, MetricWrapperBase)]
    assert found
    for metric in found:
        assert f"| {metric._documentation} |" in page


def test_every_error_is_documented_with_its_status() -> None:
    page = _page("errors.md")
    for code, (number, title) in PROBLEMS.items():
        assert f"| `{code}` | {number} | {title} |" in page


def test_every_route_is_documented() -> None:
    headings = [line for line in _page("routes.md").splitlines() if line.startswith("## ")]
    declared = [*predictions.declared(), *(one for group in ROUTES for one in group.declared)]
    wanted = [f"## {one.method} {one.path}" for one in declared if one.is_shown]
    assert sorted(headings) == sorted(wanted)


def test_every_fact_that_is_raised_over_http_has_a_sentence(generator: Any) -> None:
    for kind in generator._kinds(generator.PlatformError):
        assert (inspect.getdoc(kind) or "").splitlines()[0].endswith(".")


def _page(name: str) -> str:
    path = DOCS / "reference" / name
    return path.read_text(encoding="utf-8") if path.exists() else ""
