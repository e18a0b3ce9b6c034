"""Without authentication, the platform answers to this machine alone."""

import ipaddress

from ai_platform.errors import InvalidSettings
from ai_platform.settings import Settings


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    text = address.strip("[]").lower()
    if text == "localhost":
        return True
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def require_protected(settings: Settings) -> None:
    """Refuse to listen for others without asking for keys.

    A process in a container listens on every address of the container, and cannot see where that is published:
    `bind` tells it.

    Raises:
        InvalidSettings: authentication is off, and the address is not loopback.
    """
    address = settings.bind or settings.api.host
    if settings.auth == "off" and not is_loopback(address):
        raise InvalidSettings(
            f"authentication is off and the API would be reached at {address}; set AI_PLATFORM_AUTH=on and make a key "
            "with `ai-platform keys create --admin`, or keep to 127.0.0.1"
        )
