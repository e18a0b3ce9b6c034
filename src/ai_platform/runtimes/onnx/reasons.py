"""Why ONNX Runtime refuses a graph, in its own words without places in its source code."""

import re

# `[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: /a/b.cc:235 type name(arguments) const Reason`
_HEAD = re.compile(r"\[ONNXRuntimeError\] : \d+ : (?:\w+ : )?")
_PLACE = re.compile(r"\S+\.(?:cc|cpp|h|hpp):\d+ ")
_AFTER_ARGUMENTS = re.compile(r"(?:::<lambda\([^)]*\)>)?(?: (?:const|noexcept|override))*(?: \[with [^\]]*\])? ?")
_CHECK = re.compile(r"\A[^.]{1,120} was false\. ")
_LOCALE = re.compile(r"Failed to construct locale with name: ?([\w.@-]{1,40})")
_LONGEST = 400


def is_reason(text: str) -> bool:
    """Whether a text is an error of ONNX Runtime."""
    return _HEAD.match(text) is not None


def reason(text: str) -> str:
    """What an error of ONNX Runtime says, as one line; empty when it says nothing."""
    said = " ".join(_HEAD.sub("", text).split())
    locale = _LOCALE.search(said)
    if locale is not None:
        return (
            f"it needs the locale {locale[1]!r}, which this machine does not have; install it where the platform runs"
            " (on Debian the package `locales-all`), or export the graph with the locale 'C'"
        )
    found = _PLACE.search(said)
    while found is not None:
        rest = said[found.end() :]
        rest = _CHECK.sub("", rest[_end_of_function(rest) :])
        said = said[: found.start()] + rest
        found = _PLACE.search(said)
    return said[:_LONGEST].strip(" .:")


def _end_of_function(text: str) -> int:
    """Where the C++ function ends that a text begins with: behind its arguments, whose brackets may nest."""
    start = text.find("(")
    depth = 0
    for place in range(max(start, 0), len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0 and start >= 0:
            after = _AFTER_ARGUMENTS.match(text, place + 1)
            return after.end() if after is not None else place + 1
    return 0
