"""A board on the test's own database."""

from collections.abc import Iterator

import pytest

from ai_platform.settings import Settings
from ai_platform.storage import postgres
from board import Board


@pytest.fixture
def board(settings: Settings) -> Iterator[Board]:
    with postgres.connect(settings, "test") as connection:
        yield Board(connection)
