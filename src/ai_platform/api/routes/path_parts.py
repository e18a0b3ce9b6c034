"""What stands in paths and bodies alike: names of models and aliases, numbers of versions."""

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request

from ai_platform.access.key_text import KEY_ID
from ai_platform.api.http.parameters import principal_of
from ai_platform.models.registry.names import (
    ALIAS_NAME,
    MODEL_NAME,
    MOST_VERSIONS,
    check_model_name,
    version_number,
)
from ai_platform.serving.authorizer import require_model

AliasName = Annotated[str, msgspec.Meta(pattern=f"^{ALIAS_NAME.pattern}$")]
VersionNumber = Annotated[int, msgspec.Meta(ge=1, le=MOST_VERSIONS)]

# The schema of each part of a path.
SCHEMAS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": f"^{MODEL_NAME.pattern}$"},
    "alias": {"type": "string", "pattern": f"^{ALIAS_NAME.pattern}$"},
    "version": {"type": "integer", "minimum": 1, "maximum": MOST_VERSIONS},
    "job_id": {"type": "string", "format": "uuid"},
    "key_id": {"type": "string", "pattern": f"^{KEY_ID.pattern}$"},
}


def name_of(request: Request, name: str) -> str:
    """A model's name from the path, if the caller may use that model.

    Raises:
        InvalidParameter: it is not of its form.
        Forbidden: the caller's key names other models.
    """
    check_model_name(name, "name")
    require_model(principal_of(request), name)
    return name


Name = Annotated[str, Depends(name_of)]
Number = Annotated[int, Depends(version_number)]
