"""Who calls: an owner with scopes, as every interface sees them."""

from dataclasses import dataclass

from ai_platform.access.gcra import Limit

SCOPES = ("predict", "jobs", "models:read", "models:write", "keys:admin", "metrics")

# The owner of everything that is accepted while authentication is off.
ANONYMOUS_OWNER = "anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    Attributes:
        owner: whose jobs and idempotency keys they see and make.
        key_id: the key that they showed; None while authentication is off.
        scopes: what they may do, of `SCOPES`.
        models: the models that they may use; None for all.
        limit: how many rows they may send; None for no limit.
        waiting_jobs: queued jobs that their owner may have through this key; None for the platform's own bound.
    """

    owner: str
    key_id: str | None
    scopes: frozenset[str]
    models: frozenset[str] | None = None
    limit: Limit | None = None
    waiting_jobs: int | None = None

    def may_use(self, model: str) -> bool:
        """Whether a model is one of theirs."""
        return self.models is None or model in self.models


# While authentication is off. A key that anybody could make then would still be valid once it is on.
ANONYMOUS = Principal(ANONYMOUS_OWNER, None, frozenset(SCOPES) - {"keys:admin"})
# While authentication is on: whoever shows no valid key, at the few paths that ask for none.
UNAUTHENTICATED = Principal("", None, frozenset(), frozenset())
