"""Bytes that are no UTF-8, where JSON is read that others wrote."""

import pytest

from ai_platform.errors import ArtifactRefused
from ai_platform.models.registry import manifest
from ai_platform.models.validation.heard import understood

NO_UTF_8 = b'{"type": "Refused", "why": "\xaf"}'


def test_a_line_of_the_sandbox_that_is_no_text_is_none_of_its_answers() -> None:
    assert understood(NO_UTF_8) is None


def test_a_manifest_that_is_no_text_is_refused_as_one() -> None:
    with pytest.raises(ArtifactRefused, match="not readable"):
        manifest.decode(b'{"model": "\xaf"}')
