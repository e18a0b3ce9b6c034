"""Which cores the server and the load have."""

import contextlib
import os
from collections.abc import Iterator

ALL = frozenset(os.sched_getaffinity(0))
SERVER = frozenset({min(ALL)})
# Everything that is not the server: the load, PostgreSQL, Valkey, this program. The same core where there is only one.
LOAD = frozenset({max(ALL)})


@contextlib.contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Processes that are started within have these cores, every thread of theirs from the first on."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def placement(server: frozenset[int]) -> str:
    """For the pages, as a sentence without its full stop."""
    if len(ALL) == 1:
        return "Server and load share the machine's one core, which favours neither and lowers every figure"
    if server == SERVER:
        return f"Server on core {min(server)}, load, PostgreSQL and Valkey on core {min(LOAD)}"
    return f"Server on cores {', '.join(map(str, sorted(server)))}; load, PostgreSQL and Valkey on core {min(LOAD)} too"
