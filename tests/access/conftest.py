"""A platform that asks for keys: two API processes over one database, shared by the tests of this folder."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from ai_platform.access import keys
from ai_platform.access.key_spec import KeySpec
from ai_platform.access.principal import SCOPES
from ai_platform.local.embedded.servers import Servers
from ai_platform.settings import Settings
from ai_platform.storage.postgres import Database
from databases import copied_database, platform_settings
from harness import START_SECONDS, Iris, Platform, eventually


@dataclass
class Guarded:
    """Two API processes that ask for keys, and every key that was ever made for them."""

    platforms: tuple[Platform, Platform]
    settings: Settings
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> httpx.Client:
        return self.platforms[0].client

    @property
    def second(self) -> httpx.Client:
        return self.platforms[1].client

    def make(self, name: str, scopes: tuple[str, ...] = SCOPES, owner: str | None = None, **terms: Any) -> str:
        """Make a key behind the platform's back, known to it a moment later; its text."""
        wanted = KeySpec(owner=owner or name, scopes=list(scopes), **terms)
        with Database.of(self.settings).connect("test") as connection:
            self.texts[name], _ = keys.create(connection, wanted, "test", None)
        return self.texts[name]

    def call(self, method: str, path: str, key: str | None = None, **options: Any) -> httpx.Response:
        """A request with a key, named or given whole."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {self.texts.get(key, key)}"
        client = options.pop("client", self.client)
        answer: httpx.Response = client.request(method, path, headers=headers, **options)
        return answer

    def until_known(self, *names: str) -> None:
        """Wait until both processes have read these keys."""
        for platform in self.platforms:
            for name in names:
                eventually(
                    lambda name=name, client=platform.client: (  # type: ignore[misc]
                        self.call("GET", "/docs/start.js", name, client=client).status_code == 200
                    ),
                    what=f"{name} is known",
                )


@pytest.fixture(scope="session")
def guarded(
    servers: Servers, template_database: str, iris: Iris, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    for url in copied_database(servers):
        folders = [tmp_path_factory.mktemp("guarded") for _ in range(2)]
        settings = platform_settings(servers, url, iris, folders[0])
        models = settings.models.model_copy(update={"uploads": True})
        settings = settings.model_copy(update={"auth": "on", "models": models})
        platforms = tuple(Platform(settings.model_copy(update={"data_dir": folder}), folder) for folder in folders)
        assert len(platforms) == 2
        found = Guarded(platforms, settings)
        found.make("admin", owner="root")
        with contextlib.ExitStack() as stack:
            for platform in platforms:
                stack.callback(platform.stop)
                platform.start("api")
            for platform in platforms:
                eventually(lambda platform=platform: platform.answers("/health/ready"), START_SECONDS, "ready")  # type: ignore[misc]
            yield found
