"""What the sandbox process has said, in its order, and what that and its end mean for people."""

from dataclasses import dataclass

import msgspec

from ai_platform.models.sandbox.process import Ending
from ai_platform.models.validation.messages import Answer, Compiled, Native, Refused, Verified

_LONGEST_SENTENCE = 4_000


@dataclass(slots=True)
class Heard:
    """What a child has said so far; each thing once, and in its order."""

    verified: Verified | None = None
    native: Native | None = None
    compiled: Compiled | None = None
    refused: Refused | None = None

    def note(self, said: Answer | None) -> bool:
        """Keep what was said; whether it is news."""
        before = (self.verified, self.native, self.compiled)
        if isinstance(said, Verified) and self.verified is None:
            self.verified = said
        elif isinstance(said, Native) and self.verified is not None and self.native is None:
            self.native = said
        elif isinstance(said, Compiled) and self.native is not None:
            self.compiled = said
        elif isinstance(said, Refused):
            self.refused = said
        return before != (self.verified, self.native, self.compiled)

    @property
    def is_all(self) -> bool:
        """Whether nothing more is waited for."""
        return self.compiled is not None or self.refused is not None


def understood(line: bytes) -> Answer | None:
    """A line of the child's; None when it is none of its answers."""
    try:
        said: Answer = msgspec.json.decode(line, type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return said


def step(said: Answer | None) -> str:
    """In a few words what was done when this was said."""
    if isinstance(said, Verified):
        return "its bytes are verified"
    if isinstance(said, Native):
        return f"it loads, and predicts {said.rows_tried} rows together as alone"
    compiled = isinstance(said, Compiled) and said.why_native is None
    return "it is compiled" if compiled else "it serves as it is"


def why(heard: Heard, ending: Ending, seconds: float) -> str:
    """Why a child that did not say all has ended, in one sentence."""
    if heard.refused is not None:
        return " ".join(heard.refused.why.split())[:_LONGEST_SENTENCE]
    if heard.verified is None and ending.status > 0:
        return "the process that tries models could not start; the log says why"
    if ending.timed_out or ending.signal == "SIGXCPU":
        return f"it did not load and predict within {seconds:g} seconds (AI_PLATFORM_MODELS__VALIDATION_SECONDS)"
    if ending.signal == "SIGKILL":
        return "the system ended it while it was tried, most likely because memory ran out"
    if ending.signal is not None:
        return f"it crashed the process that tried it ({ending.signal})"
    return "it ended the process that tried it"
