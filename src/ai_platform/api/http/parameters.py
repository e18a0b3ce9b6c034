"""What more than one route reads of a request."""

import math
import re

from fastapi import Request

from ai_platform.access.principal import Principal
from ai_platform.api.http.context import context_of
from ai_platform.api.http.request_head import RequestHead
from ai_platform.errors import InvalidParameter
from ai_platform.serving.bootstrap import Services

# Narrower than `float`, which also reads `1_0` and the digits of other scripts.
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,3})?")


def services_of(request: Request) -> Services:
    """The services of this process."""
    services: Services = request.app.state.services
    return services


def principal_of(request: Request) -> Principal:
    """Who calls."""
    return head_of(request).caller.principal


def head_of(request: Request) -> RequestHead:
    """Its request line and headers."""
    return context_of(request.scope).head


def seconds_of(name: str, given: list[str], most: float, least: float = 0.0) -> float | None:
    """A number of seconds from `least` to `most`; None when none was given.

    Raises:
        InvalidParameter: it is something else, or given twice.
    """
    if not given:
        return None
    seconds = float(given[0]) if _DECIMAL.fullmatch(given[0]) else math.nan
    if len(given) > 1 or not least <= seconds <= most:
        raise InvalidParameter(name, f"must be a number of seconds from {least:g} to {most:g}")
    return seconds
