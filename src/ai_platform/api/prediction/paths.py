"""The paths of predictions: what each names, and how it is counted."""

import functools
import re
from dataclasses import dataclass

from ai_platform.models.registry.aliases import PRODUCTION
from ai_platform.models.registry.names import check_alias_name, check_model_name, version_number
from ai_platform.serving.resolver import Target
from ai_platform.telemetry import Tally, request_tally

_PATH = re.compile(
    r"/(?:models/(?P<model>[^/]*)/(?:versions/(?P<version>[^/]*)/|aliases/(?P<alias>[^/]*)/)?)?predict(?P<later>/async)?/?"
)
_ENDINGS = ("/predict", "/predict/", "/async", "/async/")
# Paths that are remembered; those of versions that exist, so they are few.
MOST_KNOWN = 1_024


@dataclass(frozen=True, slots=True)
class PredictionPath:
    """What a path asks for.

    Attributes:
        target: which version is named.
        later: whether the answer is a job.
        route: the path's template.
        tally: of answers with 200 that were computed at once; None where that is never so.
    """

    target: Target
    later: bool
    route: str
    tally: Tally | None


class PredictionPaths:
    """Reads paths, and remembers those that were answered.

    Args:
        default_model: the model of `/predict`.

    Attributes:
        known: by path as it is sent; learned as they are asked for.
    """

    def __init__(self, default_model: str) -> None:
        self._default = default_model
        default = PredictionPath(Target(default_model), later=False, route="/predict/", tally=_tally("/predict/"))
        self.known: dict[bytes, PredictionPath] = {b"/predict/": default, b"/predict": default}

    def find(self, raw_path: bytes, path: str) -> PredictionPath | None:
        """What a path asks for; None if it is none of a prediction.

        Raises:
            InvalidParameter: a name or a number in it is not of its form.
        """
        known = self.known.get(raw_path)
        if known is not None:
            return known
        found = _PATH.fullmatch(path) if path.endswith(_ENDINGS) else None
        return None if found is None else self._read(found)

    def remember(self, raw_path: bytes, path: PredictionPath) -> None:
        """Find a path faster from now on."""
        if len(self.known) < MOST_KNOWN:
            self.known[raw_path] = path

    def _read(self, found: re.Match[str]) -> PredictionPath:
        model, version, alias, later = found["model"], found["version"], found["alias"], found["later"] is not None
        if model is not None:
            check_model_name(model, "model")
        number = None if version is None else version_number(version)
        if alias is not None:
            check_alias_name(alias)
        route = ("/predict" if later else "/predict/") if model is None else "/models/{name}/predict"
        if version is not None:
            route = "/models/{name}/versions/{version}/predict"
        elif alias is not None:
            route = "/models/{name}/aliases/{alias}/predict"
        route += "/async" if later else ""
        target = Target(model or self._default, number, alias or PRODUCTION)
        return PredictionPath(target, later, route, None if later else _tally(route))


@functools.cache
def _tally(route: str) -> Tally:
    return request_tally(route)
