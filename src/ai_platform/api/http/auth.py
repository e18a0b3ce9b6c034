"""What HTTP says of a caller: the key that a request shows."""

import re
from urllib.parse import unquote_to_bytes

from ai_platform.access.key_text import KEY_IN_BYTES
from ai_platform.access.keyring import refused
from ai_platform.api.http.request_head import RequestHead
from ai_platform.errors import KeyInUrl
from ai_platform.serving.authorizer import Authorizer
from ai_platform.telemetry import AUTHENTICATION_FAILURES

# These ask for no key: a load balancer has none. To callers without one they say no more than the status.
PUBLIC_ROUTES = frozenset({"/", "/health", "/health/live", "/health/ready"})
# For routes that any valid key may use.
ANY = ""
# For routes that ask for no key.
PUBLIC = "public"
_KEY_PARAMETER = re.compile(rb"(?:^|&)(?:x-)?(?:api[-_]?key|access_token)=", re.IGNORECASE)


def identify(authorizer: Authorizer, head: RequestHead) -> None:
    """Find out who calls, and note it in the head; the first row is taken from the limits. Waits for nothing.

    Raises:
        KeyInUrl: a key stands in the URL.
        Unauthenticated: there is no valid key, and the path asks for one.
        KeysUnavailable: no key can be checked now.
        RateLimited: the key, or the address, has sent as many rows as it may.
    """
    if head.query or b"aip" in head.raw_path or b"%" in head.raw_path:
        _refuse_key_in_url(head)
    key = _key_of(head) if authorizer.asks_for_keys else None
    if head.path in PUBLIC_ROUTES:
        head.caller = authorizer.identify_if_known(key)
    else:
        head.caller = caller = authorizer.identify(key, head.client)
        if caller.ticket is not None:
            caller.admit()


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
