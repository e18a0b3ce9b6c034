"""The OpenAPI document, derived from the declarations of routes, with an input schema for each model."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ai_platform import __version__
from ai_platform.api.openapi import predictions
from ai_platform.api.openapi.operations import SECURITY, operation
from ai_platform.api.openapi.result import RESULT
from ai_platform.api.prediction.submission import AcceptedView
from ai_platform.api.routes.declaration import Declared
from ai_platform.codecs.problem_details import Problem
from ai_platform.serving.bootstrap import Services

Json = dict[str, Any]


def describe(routes: Sequence[Declared], services: Services, may_use: Callable[[str], bool] | None = None) -> Json:
    """The document, made anew at each call, because models come and go.

    Args:
        routes: all that is declared.
        services: which models there are, and the settings.
        may_use: whether the caller may use a model, and so read of it; None where all may.
    """
    settings = services.settings
    prepared = [one for one in services.directory.summary() if may_use is None or may_use(one.served.name)]
    paths = predictions.paths(prepared, settings)
    for one in routes:
        if one.is_shown:
            paths.setdefault(one.path, {})[one.method.lower()] = operation(one, settings)
    components: Json = {"schemas": {**_schemas(routes), "Result": RESULT}}
    for model in prepared:
        signature = model.served.manifest.signature
        components["schemas"][f"Input_{model.served.name}"] = predictions.input_schema(signature)
    if settings.auth == "on":
        components["securitySchemes"] = SECURITY
    summary = "Machine-learning predictions: synchronous, or durable as jobs."
    info = {"title": "AI Platform", "summary": summary, "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def _schemas(routes: Sequence[Declared]) -> Json:
    kinds: set[Any] = {Problem, AcceptedView}
    for one in routes:
        kinds |= {one.body, *(answer.kind for answer in one.answers.values())}
    ordered = sorted(kinds - {None}, key=lambda kind: str(kind.__name__))
    return dict(msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")[1])
