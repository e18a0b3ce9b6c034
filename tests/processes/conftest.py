"""A platform whose API is two processes on one port, and asks for keys."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest

from ai_platform.access import keys
from ai_platform.access.principal import SCOPES
from ai_platform.access.terms import Terms
from ai_platform.settings import Settings
from ai_platform.storage import postgres
from harness import Platform, eventually

PROCESSES = 2


@dataclass
class Several:
    """Two API processes, and the keys that were made for them."""

    platform: Platform
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def parent(self) -> psutil.Process:
        return psutil.Process(self.platform.parts["api"].pid)

    def children(self) -> list[int]:
        return sorted(child.pid for child in self.parent.children())

    def make(self, name: str, **terms: Any) -> str:
        """Make a key behind the platform's back, known to it a moment later; its id."""
        wanted = Terms(owner=name, scopes=list(SCOPES), **terms)
        with postgres.connect(self.platform.settings, "test") as connection:
            self.texts[name], made = keys.create(connection, wanted, "test", None)
        return made.id

    def clients(self, name: str, count: int = 8) -> "list[httpx.Client]":
        """Clients with a key, each with a connection of its own, spread over both processes by the kernel."""
        headers = {"Authorization": f"Bearer {self.texts[name]}"}
        return [httpx.Client(base_url=self.platform.url, headers=headers, timeout=10) for _ in range(count)]

    def counted(self, metric: str) -> float:
        """The sum of a metric's values over all labels."""
        with self.clients("admin", 1)[0] as client:
            text = client.get("/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{metric}{{", f"{metric} ")))


@pytest.fixture
def several(settings: Settings) -> Iterator[Several]:
    api = settings.api.model_copy(update={"processes": PROCESSES})
    with Platform.running(settings.model_copy(update={"api": api, "auth": "on"}), "api") as platform:
        found = Several(platform)
        found.make("admin")
        eventually(lambda: found.counted("aip_api_processes") == PROCESSES, 20, "both serve")
        yield found
