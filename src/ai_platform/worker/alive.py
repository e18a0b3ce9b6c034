"""Whether this host's worker lives: `python -m ai_platform.worker.alive`, the health check of its container.

PostgreSQL is asked for heartbeats, as everybody else judges a worker by them; Celery's answer to a ping says less.
"""

import socket
import sys
from datetime import timedelta

from ai_platform.errors import PlatformError
from ai_platform.settings import Settings, load
from ai_platform.storage.postgres import Database, translated

BEATING = """
SELECT count(*) AS alive FROM workers WHERE split_part(host, '/', 1) = %(host)s AND heartbeat_at > now() - %(lease)s
"""


def alive(settings: Settings) -> int:
    """How many worker processes of this host have sent a heartbeat within the lease.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    lease = timedelta(seconds=settings.jobs.lease_seconds)
    with Database.of(settings).connect("alive") as connection, translated():
        row = connection.execute(BEATING, {"host": socket.gethostname(), "lease": lease}).fetchone()
    return 0 if row is None else int(row["alive"])


def main() -> int:
    """0 when one does; 1, and why, otherwise."""
    try:
        count = alive(load())
    except PlatformError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    sys.stdout.write(f"{count} worker processes send heartbeats\n")
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main())
