"""In which encoding a text is written: by its mark, by its zeros, or because the whole of it is valid."""

import codecs
import re

from ai_platform.tables.source import Source
from ai_platform.tables.table import TableUnreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ASCII = bytes(range(128))
# Bytes that Windows-1252 gives no character.
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_MOST_ZEROS = 0.3


def encoding_of(found: Source) -> tuple[str, list[str]]:
    """The codec to read a text with, and what is to be said of it.

    UTF-8 is demanded of the whole text. Windows-1252 is assumed of a text that is not, and that holds hardly anything
    which would be UTF-8: bytes alone cannot tell it from other encodings of one byte, so it is said.

    Raises:
        TableUnreadable: it is none of these, or no text at all.
    """
    for mark, codec in _MARKS:
        if found.head.startswith(mark):
            _check(found, codec)
            return codec, []
    silent = _without_mark(found.head)
    if silent is not None:
        _check(found, silent)
        return silent, [f"{found.name} is read as {silent.upper()}"]
    if _is(found, "utf-8"):
        return "utf-8", []
    high, multibyte, undefined = _counts(found)
    if 2 * multibyte > high:
        raise TableUnreadable(f"{found.name} is written in UTF-8, and some of its bytes are damaged; write it anew")
    if undefined:
        raise TableUnreadable(f"{found.name} is neither UTF-8 nor UTF-16 nor Windows-1252; save it as UTF-8")
    return "cp1252", [f"{found.name} is no UTF-8, and is read as Windows-1252"]


def _counts(found: Source) -> tuple[int, int, bool]:
    """Bytes that are no ASCII, those of them that would be UTF-8, and whether Windows-1252 lacks one."""
    high, multibyte, undefined = 0, 0, False
    for part in found.parts():
        if not part.isascii():
            high += len(part.translate(None, _ASCII))
            multibyte += sum(map(len, _MULTIBYTE.findall(part)))
            undefined = undefined or _UNDEFINED.search(part) is not None
    return high, multibyte, undefined


def _is(found: Source, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    return all(_takes(decoder, part) for part in found.parts()) and _takes(decoder, b"", final=True)


def _takes(decoder: codecs.IncrementalDecoder, part: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(part, final)
    except UnicodeDecodeError:
        return False
    return True


def _check(found: Source, codec: str) -> None:
    if not _is(found, codec):
        raise TableUnreadable(f"{found.name} is damaged or cut short: some of its bytes are no {codec.upper()}")


def _without_mark(head: bytes) -> str | None:
    """UTF-16 shows by its zeros: every second byte of a text in Latin letters is one."""
    zeros = [head[first::2].count(0) / max(1, len(head) // 2) for first in (0, 1)]
    if max(zeros) > _MOST_ZEROS and min(zeros) < _MOST_ZEROS / 10:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return None
