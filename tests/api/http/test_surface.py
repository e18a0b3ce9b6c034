"""What every answer carries, what a page may load, and which other pages may call."""

import re
from collections.abc import Iterator

import httpx
import pytest

from ai_platform import settings as configuration
from ai_platform.errors import InvalidSettings
from ai_platform.settings import Settings
from api_in_thread import live
from harness import SAMPLE, Platform

PAGE_PATHS = ["/docs"]
ANSWERS = [
    ("GET", "/"), ("GET", "/health"), ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics"),
    ("GET", "/openapi.json"), ("GET", "/jobs"), ("POST", "/predict/"), ("POST", "/predict/async"),
    ("POST", "/models/iris/predict"), ("GET", "/predict/"), ("GET", "/nowhere"), ("POST", "/models/none/predict"),
    ("GET", "/jobs/none"), ("OPTIONS", "/predict/"), ("DELETE", "/health"), *(("GET", page) for page in PAGE_PATHS),
    ("GET", "/docs/start.js"), ("GET", "/docs/swagger-ui.css"), ("GET", "/docs/nothing.js"),
]  # fmt: skip
OURS = "https://console.example:8443"


@pytest.mark.parametrize(("method", "path"), ANSWERS)
def test_every_answer_says_what_a_browser_must_not_do_with_it(platform: Platform, method: str, path: str) -> None:
    answer = platform.client.request(method, path, json=SAMPLE if method == "POST" else None)
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control-")]
    if headers["content-type"].startswith(("text/javascript", "text/css")):
        assert headers["cache-control"] == "max-age=86400"
        return
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_an_event_stream_carries_them_too(platform: Platform) -> None:
    job = platform.accept()
    with platform.client.stream("GET", f"/jobs/{job}/events") as answer:
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGE_PATHS)
def test_a_page_holds_no_inline_code_and_loads_only_what_this_server_has(platform: Platform, path: str) -> None:
    page = platform.client.get(path).text
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|javascript:|style=", page) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for asset in loaded:
        assert asset.startswith("/")
        assert not asset.startswith("//")
        assert platform.client.get(asset).status_code == 200


def test_no_page_is_missing_from_these_tests(platform: Platform) -> None:
    """Whatever answers with HTML carries a page's policy; the paths are those of the application itself."""
    paths = [path for path in platform.client.get("/openapi.json").json()["paths"] if "{" not in path]
    html = [path for path in [*paths, *PAGE_PATHS] if "html" in platform.client.get(path).headers["content-type"]]
    assert html == PAGE_PATHS


@pytest.fixture(scope="module")
def open_to_ours(module_settings: Settings) -> Iterator[httpx.Client]:
    api = module_settings.api.model_copy(update={"cors_origins": [OURS]})
    with live(module_settings.model_copy(update={"api": api})) as url, httpx.Client(base_url=url) as client:
        yield client


def test_a_configured_origin_may_read_answers_and_refusals(open_to_ours: httpx.Client) -> None:
    for body, status in ((SAMPLE, 200), ({}, 422)):
        answer = open_to_ours.post("/predict/", json=body, headers={"Origin": OURS})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == OURS
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


def test_a_configured_origin_may_ask_first(open_to_ours: httpx.Client) -> None:
    asked = {"Origin": OURS, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = open_to_ours.options("/predict/async", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == OURS
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "idempotency-key" in answer.headers["access-control-allow-headers"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", OURS.replace("https", "http"), OURS + ".evil", ""])
def test_no_other_origin_may(open_to_ours: httpx.Client, origin: str) -> None:
    answer = open_to_ours.post("/predict/", json=SAMPLE, headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert open_to_ours.options("/predict/", headers=asked).status_code == 405


@pytest.mark.parametrize("origins", ['["*"]', '["https://a.example/"]', '["https://a.example/x"]', '["a.example"]'])
def test_an_origin_that_is_none_is_refused_at_the_start(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PLATFORM_API__CORS_ORIGINS", origins)
    with pytest.raises(InvalidSettings, match="AI_PLATFORM_API__CORS_ORIGINS"):
        configuration.load()
