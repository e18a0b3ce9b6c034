"""Passwords of the compose stack: taken from its operator, or made at random when the stack first starts.

Run once before everything else, as root, in the container `secrets`. Each server gets a volume with nothing but its
own secret; the platform gets both passwords. What exists is kept: starting the stack again changes nothing.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

PLATFORM = Path("/secrets/platform")
POSTGRES = Path("/secrets/postgres")
REDIS = Path("/secrets/redis")

PLATFORM_UID = 10_001
SERVER_UID = 999  # `postgres` in the image postgres, `redis` in the image redis

SHORTEST = 16

# What Celery's transport, the cache, the limiter and the hints send to Redis, on keys and channels of the platform, and
# no more: the queue's list, the hash and sorted set of what was taken from it, a lock (SET NX, a script), cached
# answers, and what the limiter's script asks for.
# @connection less @admin and @dangerous is AUTH, HELLO, PING, SELECT and the harmless half of CLIENT.
#
# Redis before 8.4.4 replays the transactions of its append-only file with the rights of the default user, that is, not
# at all (redis/redis#14545): it then forgets which bells were taken but not acknowledged. That costs time, as the
# sweeper rings again, and never a job.
COMMANDS = (
    "multi exec discard watch unwatch lpush rpush rpop brpop llen hset hget hdel zadd zrem zrange zrangebyscore"
    " zrevrangebyscore zcard zremrangebyscore exists set setnx get del expire pexpire time eval evalsha script|load"
    " publish subscribe unsubscribe"
)
ACL = """\
user default on nopass resetkeys resetchannels -@all +ping
user platform on #{sha256} resetkeys ~aip:* resetchannels &aip:* -@all +@connection -@admin -@dangerous {commands}
"""


def main() -> int:
    """Write what is missing; 1 and a sentence when a given password cannot be used."""
    try:
        database = password("database_password")
        redis = password("redis_password")
    except ValueError as error:
        print(f"secrets: {error}", file=sys.stderr)
        return 1
    write(PLATFORM / "database_password", database, PLATFORM_UID)
    write(PLATFORM / "redis_password", redis, PLATFORM_UID)
    write(POSTGRES / "password", database, SERVER_UID)
    write(REDIS / "users.acl", users(redis), SERVER_UID)
    return 0


def users(password: str) -> str:
    """Redis's users, with the hash of the platform's password."""
    commands = " ".join(f"+{command}" for command in COMMANDS.split())
    return ACL.format(sha256=hashlib.sha256(password.encode()).hexdigest(), commands=commands)


def password(name: str) -> str:
    """The password of that name: the operator's (a file, or a variable), the one of last time, or a new one.

    Raises:
        ValueError: the operator's is too short, or has characters that a file of one line cannot hold.
    """
    given = _read(Path("/run/secrets") / name) or os.environ.get(f"AI_PLATFORM_{name.upper()}", "")
    if not given:
        return _read(PLATFORM / name) or secrets.token_urlsafe(32)
    if len(given) < SHORTEST or not given.isprintable() or " " in given:
        raise ValueError(f"{name} must have at least {SHORTEST} printable characters and no space")
    return given


def write(path: Path, content: str, owner: int) -> None:
    """Make the file hold the content, whole or not at all, for its owner's eyes alone."""
    if _read(path) == content.strip():
        return
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="utf-8") as file:
        file.write(content)
        os.fsync(file.fileno())
    os.chown(draft, owner, owner)
    draft.replace(path)
    print(f"secrets: {path} written")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
