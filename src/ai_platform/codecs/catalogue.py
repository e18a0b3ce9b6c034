"""Every codec; a new protocol is one file and one line here."""

from ai_platform.codecs.codec import Codec
from ai_platform.codecs.platform_json import JSON

CODECS: tuple[Codec, ...] = (JSON,)
