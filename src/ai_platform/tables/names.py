"""Names of columns compared: exactly, and as people and libraries write the same name in another way."""

import difflib
import re
from collections.abc import Collection

# LightGBM writes `_` for a blank, XGBoost refuses `[`, `]` and `<`, and people replace all of them by `_`.
_REPLACED = re.compile(r"[^\w]")


def spelt(name: str) -> str:
    """A name as libraries write it that replace blanks, brackets and other marks by `_`."""
    return _REPLACED.sub("_", name)


def folded(name: str) -> str:
    """A name without the differences that people do not see: a byte order mark, outer blanks, quotes, capitals."""
    return spelt(name.replace("\ufeff", "").strip().strip("\"'").strip()).casefold()


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another; None when none is."""
    by_fold = {folded(one): one for one in known}
    found = difflib.get_close_matches(folded(name), list(by_fold), n=1, cutoff=0.4)
    return by_fold[found[0]] if found else None
