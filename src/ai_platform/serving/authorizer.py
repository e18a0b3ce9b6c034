"""The authorizer: who calls and whether they may, decided in one place for every face."""

from typing import NoReturn

from ai_platform.access.keyring import Keyring
from ai_platform.access.limiter import Limiter
from ai_platform.access.principal import ANONYMOUS, UNAUTHENTICATED, Principal
from ai_platform.errors import Forbidden, KeysUnavailable, Unauthenticated
from ai_platform.serving.caller import Caller
from ai_platform.telemetry import FORBIDDEN

PREDICT = "predict"
# Refusals of these are written to the audit log; the others are only counted.
AUDITED = frozenset({"keys:admin", "models:write"})


class Authorizer:
    """Finds out who calls, and what they may.

    Args:
        keyring: the keys; None while authentication is off.
        limiter: the rate limits.

    Attributes:
        asks_for_keys: whether authentication is on.
    """

    def __init__(self, keyring: Keyring | None, limiter: Limiter) -> None:
        self.asks_for_keys = keyring is not None
        self._keyring = keyring
        self._limiter = limiter

    def identify(self, key: bytes | None, address: tuple[str, int] | None) -> Caller:
        """Who calls. Waits for nothing; `Caller.admit` is the next step.

        Args:
            key: the key that was shown, if one was.
            address: address and port that the call comes from, if they are known.

        Raises:
            Unauthenticated: there is no valid key.
            KeysUnavailable: no key can be checked now.
        """
        principal = ANONYMOUS if self._keyring is None else self._keyring.authenticate(key)
        if principal.limit is None and self._limiter.per_address is None:
            return Caller(principal)
        return Caller(principal, self._limiter.admit(principal, address))

    def identify_if_known(self, key: bytes | None) -> Caller:
        """Who calls what asks for no key, and is not limited: nobody is refused."""
        if self._keyring is None:
            return Caller(ANONYMOUS)
        try:
            return Caller(UNAUTHENTICATED if key is None else self._keyring.authenticate(key))
        except (Unauthenticated, KeysUnavailable):
            return Caller(UNAUTHENTICATED)

    def authorize(self, principal: Principal, scope: str, action: str) -> None:
        """Refuse who has not a scope.

        Args:
            principal: who calls.
            scope: what is needed.
            action: what is refused, for the audit log.

        Raises:
            Forbidden: the key has not the scope.
        """
        if scope not in principal.scopes:
            self._refuse(principal, action, scope)

    def authorize_prediction(self, principal: Principal, model: str) -> None:
        """Refuse who may not predict with a model, whether or not it exists.

        Raises:
            Forbidden: the key has not the scope, or not that model.
        """
        if PREDICT not in principal.scopes:
            self._refuse(principal, PREDICT, PREDICT)
        if principal.models is not None:
            require_model(principal, model)

    def still_admits(self, principal: Principal) -> bool:
        """Whether a caller who was let in would be let in still."""
        return self._keyring is None or self._keyring.is_valid(principal.key_id)

    def note_refusal(self, principal: Principal, action: str, scope: str, why: str = "scope") -> None:
        """Have a refusal written to the audit log, if it is one of those that belong there."""
        if self._keyring is not None and scope in AUDITED:
            self._keyring.deferred.refuse(principal.owner, principal.key_id, action, why)

    def _refuse(self, principal: Principal, action: str, scope: str) -> NoReturn:
        FORBIDDEN.labels(scope).inc()
        self.note_refusal(principal, action, scope)
        raise Forbidden(_why(principal, scope))


def require_model(principal: Principal, name: str) -> None:
    """Refuse a model that the caller may not use, whether or not it exists.

    Raises:
        Forbidden: it is none of theirs.
    """
    if not principal.may_use(name):
        FORBIDDEN.labels("model").inc()
        raise Forbidden("this key may not use that model")


def _why(principal: Principal, scope: str) -> str:
    if principal.key_id is None:
        return "while authentication is off, keys and the audit log are for the command line alone: `ai-platform keys`"
    return f"this needs a key with the scope {scope}"
