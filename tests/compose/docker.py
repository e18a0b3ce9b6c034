"""A compose stack of its own: bringing it up, asking Docker about it, taking it down."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "ai-platform-test"
URL = "http://localhost:8000"
FIXED_NAMES = ("postgres", "redis_container")
COMMAND_SECONDS = 300


class Stack:
    """The stack of this checkout under a project name of its own, with nothing from the caller's settings.

    Container names and port 8000 are fixed by compose.yaml, so a machine runs one stack at a time.
    """

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AI_PLATFORM_", "COMPOSE_"))}
        self._environment = kept

    def compose(self, *words: str, check: bool = True) -> str:
        """Run `docker compose WORDS`; its standard output."""
        return self.docker("compose", "-p", PROJECT, "--env-file", os.devnull, "--ansi", "never", *words, check=check)

    def docker(self, *words: str, check: bool = True) -> str:
        """Run `docker WORDS`; its standard output."""
        done = subprocess.run(
            ["docker", *words],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"docker {' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        return done.stdout

    def refuse_another(self) -> None:
        """Stop the run with one clear line where no engine answers, or a stack runs already."""
        if subprocess.run(["docker", "version"], capture_output=True, timeout=30, check=False).returncode != 0:
            pytest.exit("compose-test: no Docker Engine answers", returncode=1)
        names = self.docker("ps", "--all", "--format", "{{.Names}}").split()
        taken = [name for name in FIXED_NAMES if name in names]
        if taken:
            pytest.exit(
                f"compose-test: a container named {taken[0]} exists. Only one stack runs on a machine at a time, as "
                "its container names are fixed; take the other down first (docker compose down)",
                returncode=1,
            )
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 8000)) == 0:
                pytest.exit("compose-test: something listens on port 8000 already", returncode=1)

    def containers(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """What Docker knows of a container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def address(self, container: str) -> str:
        """Its address on the inner network."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"]
        return str(networks[f"{PROJECT}_back"]["IPAddress"])

    def health(self, container: str) -> str:
        """`starting`, `healthy`, `unhealthy`, or its state when it does not run."""
        state = self.inspect(container)["State"]
        return str(state["Health"]["Status"] if state["Running"] else state["Status"])

    def kill(self, container: str) -> None:
        """SIGKILL to a container's own process. (`docker kill` would suspend its restart policy.)"""
        try:
            os.kill(self.inspect(container)["State"]["Pid"], signal.SIGKILL)
        except (PermissionError, ProcessLookupError):  # not root here, or an engine in a machine of its own
            self.docker("exec", container, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)", check=False)

    def events(self, container: str) -> list[str]:
        """The lines that a container has logged to either stream, each with its time."""
        done = subprocess.run(
            ["docker", "logs", "--timestamps", container],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=True,
        )
        return done.stdout.splitlines()

    def gateway_log(self) -> str:
        """What the gateway has logged so far."""
        return self.compose("logs", "--no-log-prefix", "gateway")

    def upstreams(self, prefix: str) -> set[str]:
        """Addresses that answered requests whose id begins so."""
        return set(re.findall(rf"upstream=([\d.]+):8000 request_id={prefix}", self.gateway_log()))
