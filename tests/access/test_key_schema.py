"""What the OpenAPI document says of a key to be made is what a validator in any language understands."""

import msgspec

from ai_platform.access.key_spec import KeySpec
from ai_platform.access.principal import SCOPES


def test_patterns_are_those_of_json_schema_and_scopes_are_named() -> None:
    _, components = msgspec.json.schema_components((KeySpec,))
    assert "\\Z" not in msgspec.json.encode(components).decode()
    assert components["KeySpec"]["properties"]["scopes"]["items"]["enum"] == list(SCOPES)
