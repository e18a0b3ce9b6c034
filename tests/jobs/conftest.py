"""A job_table on the test's own database."""

from collections.abc import Iterator

import pytest

from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from job_table import JobTable


@pytest.fixture
def job_table(settings: Settings) -> Iterator[JobTable]:
    with Database.of(settings).connect("test") as connection:
        yield JobTable(connection)
