"""Names of models and aliases, and numbers of versions: their forms, and the one check of each."""

import re

from ai_platform.errors import InvalidParameter

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ALIAS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
MOST_VERSIONS = 999_999_999
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


def check_model_name(name: str, parameter: str) -> None:
    """Check a model's name.

    Args:
        name: what was given.
        parameter: what the caller knows it as.

    Raises:
        InvalidParameter: it is not of its form.
    """
    if not MODEL_NAME.fullmatch(name):
        raise InvalidParameter(parameter, "a model's name is 1 to 63 characters of a-z, 0-9, _ and -")


def check_alias_name(alias: str) -> None:
    """Check an alias.

    Raises:
        InvalidParameter: it is not of its form.
    """
    if not ALIAS_NAME.fullmatch(alias):
        raise InvalidParameter("alias", "an alias is 1 to 63 characters of a-z, 0-9, _ and -, the first a letter")


def version_number(version: str) -> int:
    """A version's number, from 1 to `MOST_VERSIONS`, in digits without a leading zero.

    Raises:
        InvalidParameter: it is not of its form.
    """
    if not _VERSION.fullmatch(version):
        raise InvalidParameter("version", "a version is a number from 1")
    return int(version)
