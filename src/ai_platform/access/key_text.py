"""The text of a key, `aip_<id>_<secret>_<checksum>`: scanners find it, and a double click selects it whole.

The id names the key in tables and logs. The secret has 256 bits, so a plain SHA-256 of the text is what is kept: a slow
hash protects guessable passwords, and here it would only make each request expensive. The checksum (CRC-32 of all
before it) tells a scanner without asking us that a text is a key.
"""

import hashlib
import re
import secrets
import zlib

from ai_platform.errors import InvalidSettings

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_DIGITS, _SECRET_DIGITS, _CHECK_DIGITS = 8, 43, 6
_TEXT = re.compile(r"aip_([0-9A-Za-z]{8})_[0-9A-Za-z]{43}_([0-9A-Za-z]{6})")
KEY_ID = re.compile(r"[0-9A-Za-z]{8}")
# Enough of a key to be one, wherever it stands; what logs and URLs are searched for.
KEY_IN_BYTES = re.compile(rb"aip_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}")


def new_key_text() -> str:
    """A new key; the only place where its secret ever stands whole."""
    key_id = "".join(secrets.choice(_DIGITS) for _ in range(_ID_DIGITS))
    body = f"aip_{key_id}_{_base62(int.from_bytes(secrets.token_bytes(32)), _SECRET_DIGITS)}"
    return f"{body}_{_checksum(body)}"


def id_of(text: str) -> str:
    """The id of a key's text.

    Raises:
        InvalidSettings: it is no key, or was mistyped: its checksum is wrong.
    """
    found = _TEXT.fullmatch(text)
    if found is None or _checksum(text.rpartition("_")[0]) != found[2]:
        raise InvalidSettings("this is no key of this platform; `ai-platform keys generate` makes one")
    return found[1]


def digest_of(text: bytes) -> bytes:
    """What is kept of a key: the SHA-256 of its text, 32 bytes."""
    return hashlib.sha256(text).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECK_DIGITS)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
