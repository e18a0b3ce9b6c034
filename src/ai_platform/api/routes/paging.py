"""Lists that come in pages: their query parameters, and the way to the following page."""

import re
from urllib.parse import urlencode

from fastapi import Request

from ai_platform.api.routes.declaration import Parameter
from ai_platform.errors import InvalidParameter

PAGE = 50
_LIMIT = re.compile(r"[1-9][0-9]{0,3}")

# What every such list reads of the query.
PARAMETERS = (
    Parameter("limit", lambda settings: {"type": "integer", "minimum": 1, "maximum": settings.limits.page}),
    Parameter("cursor", {"type": "string"}, "from the last page's `next`"),
)


def check_parameters(request: Request, *names: str) -> None:
    """Check that the query holds no parameters but these, each once at most.

    Args:
        request: the request.
        names: of the parameters, in the order in which a refusal says them; two at least.

    Raises:
        InvalidParameter: it holds another one, or one twice.
    """
    query = request.query_params
    for name in query:
        if name not in names or len(query.getlist(name)) > 1:
            raise InvalidParameter(name, f"must be one of {', '.join(names[:-1])} and {names[-1]}, each once")


def limit_of(request: Request, most: int) -> int:
    """How long a page is asked for, from 1 to `most`; `PAGE` where the query does not say.

    Raises:
        InvalidParameter: it is no such number.
    """
    limit = request.query_params.get("limit", str(min(PAGE, most)))
    if not _LIMIT.fullmatch(limit) or int(limit) > most:
        raise InvalidParameter("limit", f"must be a number from 1 to {most}")
    return int(limit)


def following(request: Request, path: str, cursor: str) -> str:
    """Path and query of the page of `path` that begins at a cursor, with the filters of this one."""
    kept = {name: value for name, value in request.query_params.items() if name != "cursor"}
    return f"{path}?{urlencode({**kept, 'cursor': cursor})}"
