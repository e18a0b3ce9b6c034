"""A platform whose API is two processes on one port, and asks for keys."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest

from ai_platform.access import keys
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.principal import SCOPES
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from harness import Platform, eventually

PROCESSES = 2


@dataclass
class Several:
    """Two API processes, and the keys that were made for them."""

    platform: Platform
    texts: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def parent(self) -> psutil.Process:
        return psutil.Process(self.platform.parts["api"].pid)

    def children(self) -> list[int]:
        return sorted(child.pid for child in self.parent.children())

    def connections(self) -> dict[int, int]:
        """Process id to how many callers it holds."""
        port = self.platform.port
        return {
            pid: sum(
                one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
                for one in psutil.Process(pid).net_connections("tcp")
            )
            for pid in self.children()
        }

    def both_are_called(self) -> bool:
        held = self.connections()
        return len(held) == PROCESSES and all(held.values())

    def add(self, name: str, **terms: Any) -> None:
        """Make a key behind the platform's back."""
        wanted = KeySpec(owner=name, scopes=list(SCOPES), **terms)
        with Database.of(self.platform.settings).connect("test") as connection:
            self.texts[name], made = keys.create(connection, wanted, "test", None)
        self.ids[name] = made.id

    def make(self, name: str) -> None:
        """Make a key, and wait until every process knows it, and all that were made before."""
        self.add(name)
        callers = [self.client(name) for _ in range(8)]
        for caller in callers:
            caller.get("/health/live")
        assert self.both_are_called()
        eventually(lambda: {one.get("/docs/start.js").status_code for one in callers} == {200}, what="it is known")
        for caller in callers:
            caller.close()

    def client(self, name: str) -> httpx.Client:
        """A caller with a connection of its own, which the kernel gives to one of the processes."""
        headers = {"Authorization": f"Bearer {self.texts[name]}"}
        return httpx.Client(base_url=self.platform.url, headers=headers, timeout=10)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.platform.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def counted(self, metric: str) -> float:
        """The sum of a metric's values over all labels."""
        with self.client("admin") as client:
            lines = client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{metric}{{", f"{metric} ")))

    def until_both_serve(self) -> None:
        eventually(
            lambda: len(self.children()) == PROCESSES and self.counted("aip_api_processes") == PROCESSES,
            30,
            "both serve",
        )


@pytest.fixture(scope="module")
def several(module_settings: Settings) -> Iterator[Several]:
    api = module_settings.api.model_copy(update={"processes": PROCESSES})
    settings = module_settings.model_copy(update={"api": api, "auth": "on"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(settings.data_dir))
        with Platform.running(settings, "api") as platform:
            platform.client.close()
            found = Several(platform)
            found.make("admin")
            found.until_both_serve()
            yield found
