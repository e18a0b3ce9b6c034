"""compose.yaml and .env.example know every setting. No engine is needed, so this belongs to the default suite."""

import re
from pathlib import Path

from ai_platform.settings import PREFIX, variables

ROOT = Path(__file__).parents[2]

# What the containers themselves decide, so that nobody sets it from outside.
FIXED = {
    f"{PREFIX}{name}"
    for name in (
        "ADMIN_KEY",
        "DATA_DIR",
        "FAILPOINTS_DIR",
        "DATABASE_URL",
        "REDIS_URL",
        "API__HOST",
        "API__PORT",
        "MODELS__CACHE_DIR",
        "MODELS__TRUSTED_KEYS_DIR",
        "MODELS__SIGNING_KEY_FILE",
    )
}
PASSWORDS = {f"{PREFIX}DATABASE_PASSWORD", f"{PREFIX}REDIS_PASSWORD"}
STACK = {f"{PREFIX}{name}" for name in ("API_REPLICAS", "WORKER_REPLICAS", "VERSION", "REVISION")}


def passed_on() -> set[str]:
    """Names in compose.yaml's `x-settings` that have no value, or one of their own only if none is given."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    block = text[text.index("x-settings:") : text.index("x-once-migrated:")]
    return set(re.findall(rf"^  ({PREFIX}\w+):(?: \$\{{\1:-.*\}})?$", block, re.MULTILINE))


def explained() -> set[str]:
    """Names that stand in .env.example."""
    return set(re.findall(rf"^#({PREFIX}\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))


def test_compose_passes_on_every_setting_that_is_not_its_own_business() -> None:
    assert passed_on() == set(variables()) - FIXED - PASSWORDS


def test_the_example_explains_every_setting_and_nothing_else() -> None:
    files = {f"{name}_FILE" for name in PASSWORDS}
    assert explained() == (set(variables()) - FIXED) | STACK | files


def test_no_password_stands_in_the_files() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert re.findall(r"^#?\w*PASSWORD=(.+)$", example, re.MULTILINE) == []
