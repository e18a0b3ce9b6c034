"""One stack for all of its tests, which only `make compose-test` runs."""

from collections.abc import Iterator

import pytest

from compose.docker import Stack


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    stack = Stack()
    stack.refuse_another()
    try:
        yield stack
    finally:
        if request.session.testsfailed:
            print(stack.compose("ps", "--all", check=False))
            print(stack.compose("logs", "--tail", "25", check=False))
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)
