"""`/docs` without the internet: Swagger UI from a wheel, started by a script of our own (no inline code)."""

from importlib.util import find_spec
from pathlib import Path

import orjson
from fastapi import Request, Response
from fastapi.responses import FileResponse

from ai_platform.api.http import security_headers
from ai_platform.api.http.auth import ANY
from ai_platform.api.http.context import context_of
from ai_platform.api.http.parameters import principal_of, services_of
from ai_platform.api.openapi.document import describe
from ai_platform.api.routes.declaration import Answer, Routes
from ai_platform.errors import NotFound

routes = Routes("docs")

_spec = find_spec("fastapi_offline")
assert _spec is not None
assert _spec.origin is not None
STATIC = Path(_spec.origin).parent / "static"
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>AI Platform</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon.png"></head>
<body><div id="swagger"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""
START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger", deepLinking: true, tryItOutEnabled: true, displayRequestDuration: true,
  validatorUrl: null,
});
"""


@routes.declare(
    "GET",
    "/docs",
    scope=ANY,
    summary="The page",
    answers={200: Answer("The page", media_type="text/html")},
    is_shown=False,
)
async def page(request: Request) -> Response:
    """The page."""
    context_of(request.scope).response_headers = security_headers.PAGE
    return Response(PAGE, media_type="text/html")


@routes.declare(
    "GET", "/openapi.json", scope=ANY, summary="The document", answers={200: Answer("The document")}, is_shown=False
)
async def document(request: Request) -> Response:
    """The OpenAPI document, with those models of this moment that the caller may use."""
    described = describe(request.app.state.declared, services_of(request), principal_of(request).may_use)
    return Response(orjson.dumps(described), media_type="application/json")


@routes.declare(
    "GET",
    "/docs/start.js",
    scope=ANY,
    summary="A script",
    answers={200: Answer("A script", media_type="text/javascript")},
    is_shown=False,
)
async def start(request: Request) -> Response:
    """The script that starts it."""
    context_of(request.scope).response_headers = security_headers.ASSET
    return Response(START, media_type="text/javascript")


@routes.declare(
    "GET",
    "/docs/{name}",
    scope=ANY,
    summary="A file",
    answers={200: Answer("A file", media_type="*/*")},
    is_shown=False,
)
async def asset(request: Request, name: str) -> Response:
    """One of the wheel's files.

    Raises:
        NotFound: it is none of those that the page needs.
    """
    if name not in FILES:
        raise NotFound("no such file")
    context_of(request.scope).response_headers = security_headers.ASSET
    return FileResponse(STATIC / name, media_type=FILES[name])
