"""The authorizer: who calls and whether they may, decided in one place for every door of the API."""

import re
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from ai_platform.access.key_text import KEY_IN_BYTES
from ai_platform.access.keyring import Keyring, refused
from ai_platform.access.limiter import Limiter
from ai_platform.access.principal import ANONYMOUS, UNAUTHENTICATED, Principal
from ai_platform.api.http.request_head import RequestHead
from ai_platform.errors import Forbidden, KeyInUrl, KeysUnavailable, Unauthenticated
from ai_platform.telemetry import AUTHENTICATION_FAILURES, FORBIDDEN

# These ask for no key: a load balancer has none. To callers without one they say no more than the status.
PUBLIC_ROUTES = frozenset({"/", "/health", "/health/live", "/health/ready"})
# For routes that any valid key may use.
ANY = ""
PREDICT = "predict"
# What each route needs. A route that does not stand here is refused to everybody, so that none is open by oversight.
ROUTE_SCOPES: dict[tuple[str, str], str] = {
    ("GET", "/docs"): ANY,
    ("GET", "/docs/start.js"): ANY,
    ("GET", "/docs/{name}"): ANY,
    ("GET", "/openapi.json"): ANY,
    ("GET", "/metrics"): "metrics",
    ("POST", "/predict/"): PREDICT,
    ("POST", "/predict/async"): PREDICT,
    ("POST", "/models/{name}/predict"): PREDICT,
    ("POST", "/models/{name}/predict/async"): PREDICT,
    ("POST", "/models/{name}/aliases/{alias}/predict"): PREDICT,
    ("POST", "/models/{name}/aliases/{alias}/predict/async"): PREDICT,
    ("POST", "/models/{name}/versions/{version}/predict"): PREDICT,
    ("POST", "/models/{name}/versions/{version}/predict/async"): PREDICT,
    ("GET", "/models"): "models:read",
    ("GET", "/models/{name}"): "models:read",
    ("GET", "/models/{name}/versions"): "models:read",
    ("GET", "/models/{name}/versions/{version}"): "models:read",
    ("GET", "/models/{name}/versions/{version}/artifact"): "models:read",
    ("GET", "/models/{name}/aliases"): "models:read",
    ("POST", "/models/{name}/versions"): "models:write",
    ("DELETE", "/models/{name}/versions/{version}"): "models:write",
    ("PUT", "/models/{name}/aliases/{alias}"): "models:write",
    ("DELETE", "/models/{name}/aliases/{alias}"): "models:write",
    ("POST", "/models/{name}/aliases/{alias}/rollback"): "models:write",
    ("POST", "/models/{name}/promote"): "models:write",
    ("POST", "/models/{name}/rollback"): "models:write",
    ("POST", "/uploads"): "models:write",
    ("GET", "/jobs"): "jobs",
    ("GET", "/jobs/{job_id}"): "jobs",
    ("GET", "/jobs/{job_id}/events"): "jobs",
    ("POST", "/jobs/{job_id}/cancel"): "jobs",
    ("POST", "/jobs/{job_id}/retry"): "jobs",
    ("GET", "/keys"): "keys:admin",
    ("POST", "/keys"): "keys:admin",
    ("POST", "/keys/{key_id}/rotate"): "keys:admin",
    ("DELETE", "/keys/{key_id}"): "keys:admin",
    ("GET", "/audit"): "keys:admin",
}
# Refusals of these are written to the audit log; the others are only counted.
AUDITED = frozenset({"keys:admin", "models:write"})
_KEY_PARAMETER = re.compile(rb"(?:^|&)(?:x-)?(?:api[-_]?key|access_token)=", re.IGNORECASE)


class Authorizer:
    """Lets requests in.

    Args:
        keyring: the keys; None while authentication is off.
        limiter: the rate limits.
    """

    def __init__(self, keyring: Keyring | None, limiter: Limiter) -> None:
        self._keyring = keyring
        self._limiter = limiter

    def admit(self, head: RequestHead) -> Principal:
        """Who calls; noted in the head for everything behind, with what the limits leave. Waits for nothing.

        Raises:
            KeyInUrl: a key stands in the URL.
            Unauthenticated: there is no valid key, and the path asks for one.
            KeysUnavailable: no key can be checked now.
            RateLimited: the key, or the address, has sent as many rows as it may.
        """
        if head.query or b"aip" in head.raw_path or b"%" in head.raw_path:
            _refuse_key_in_url(head)
        is_open = head.path in PUBLIC_ROUTES
        if self._keyring is None:
            principal = ANONYMOUS
        elif is_open:
            principal = self._known(head)
        else:
            principal = self._keyring.authenticate(_key_of(head))
        head.principal = principal
        if not is_open and (principal.limit is not None or self._limiter.per_address is not None):
            head.ticket = self._limiter.admit(principal, head.client)
            head.ticket.take(1)
        return principal

    def authorize(self, head: RequestHead, route: str) -> Principal:
        """The caller, if the route is one of those that they may use.

        Args:
            head: of the request, which `admit` has let in.
            route: the path's template (`/jobs/{job_id}`).

        Raises:
            Forbidden: otherwise; also when nobody said what the route needs.
        """
        if route in PUBLIC_ROUTES:
            return head.principal
        method = "GET" if head.method == "HEAD" else head.method
        needed = ROUTE_SCOPES.get((method, route))
        if needed is None:
            raise Forbidden("nobody may use this route: it does not say what it needs")
        if needed != ANY and needed not in head.principal.scopes:
            self._refuse(head.principal, f"{method} {route}", needed)
        return head.principal

    def authorize_prediction(self, head: RequestHead, route: str, model: str) -> None:
        """Refuse who may not predict with a model, whether or not it exists.

        Args:
            head: of the POST, which `admit` has let in.
            route: the path's template.
            model: the model's name.

        Raises:
            Forbidden: the key has not the scope, or not that model.
        """
        principal = head.principal
        if PREDICT not in principal.scopes:
            self._refuse(principal, f"POST {route}", PREDICT)
        if principal.models is not None:
            require_model(principal, model)

    def still_admits(self, principal: Principal) -> bool:
        """Whether a caller who was let in would be let in still."""
        return self._keyring is None or self._keyring.is_valid(principal.key_id)

    def note_refusal(self, principal: Principal, action: str, scope: str, why: str = "scope") -> None:
        """Have a refusal written to the audit log, if it is one of those that belong there."""
        if self._keyring is not None and scope in AUDITED:
            self._keyring.deferred.refuse(principal.owner, principal.key_id, action, why)

    def _refuse(self, principal: Principal, action: str, needed: str) -> NoReturn:
        FORBIDDEN.labels(needed).inc()
        self.note_refusal(principal, action, needed)
        raise Forbidden(_why(principal, needed))

    def _known(self, head: RequestHead) -> Principal:
        assert self._keyring is not None
        text = _key_of(head)
        if text is None:
            return UNAUTHENTICATED
        try:
            return self._keyring.authenticate(text)
        except (Unauthenticated, KeysUnavailable):
            return UNAUTHENTICATED


def require_model(principal: Principal, name: str) -> None:
    """Refuse a model that the caller may not use, whether or not it exists.

    Raises:
        Forbidden: it is none of theirs.
    """
    if not principal.may_use(name):
        FORBIDDEN.labels("model").inc()
        raise Forbidden("this key may not use that model")


def charge(head: RequestHead, rows: int) -> None:
    """Take the rows of a request that was read, but for the one that was taken when it came.

    Raises:
        RateLimited: there is no room for them.
    """
    if head.ticket is not None and rows > 1:
        head.ticket.take(rows - 1)


def _key_of(head: RequestHead) -> bytes | None:
    """The key that a request shows; other kinds of Authorization are not ours to read.

    Raises:
        Unauthenticated: it shows two.
    """
    if not head.repeats and b"x-api-key" not in head.named:
        given = head.named.get(b"authorization", b"")
        return given[7:].strip() if given[:7].lower() == b"bearer " else None
    found = None
    for name, value in head.headers:
        if name == b"authorization":
            if value[:7].lower() != b"bearer ":
                continue
            text = value[7:].strip()
        elif name == b"x-api-key":
            text = value.strip()
        else:
            continue
        if found is not None and found != text:
            raise refused("ambiguous")
        found = text
    return found


def _refuse_key_in_url(head: RequestHead) -> None:
    query = head.query
    whole = head.raw_path + b"?" + query
    if _KEY_PARAMETER.search(query) or KEY_IN_BYTES.search(unquote_to_bytes(whole)):
        AUTHENTICATION_FAILURES.labels("in_url").inc()
        raise KeyInUrl(
            "a key must not stand in a URL, where logs keep it; send Authorization: Bearer KEY, and rotate this one"
        )


def _why(principal: Principal, needed: str) -> str:
    if principal.key_id is None:
        return "while authentication is off, keys and the audit log are for the command line alone: `ai-platform keys`"
    return f"this needs a key with the scope {needed}"
