"""The API in a thread of the test's own process: the real server and application, without the seconds of a start."""

import contextlib
import threading
from collections.abc import Iterator

import httpx

from ai_platform.api.server.serve import server as api_server
from ai_platform.settings import Settings
from harness import eventually, free_port


@contextlib.contextmanager
def live(settings: Settings, *, timeout_keep_alive: int = 5) -> Iterator[str]:
    """Serve with these settings on a free port until the end; gives the base URL once the model is loaded."""
    api = settings.api.model_copy(update={"port": free_port()})
    server = api_server(settings.model_copy(update={"api": api}))
    server.config.timeout_keep_alive = timeout_keep_alive
    thread = threading.Thread(target=server.run, name="live API")
    thread.start()
    url = f"http://127.0.0.1:{api.port}"
    try:
        eventually(lambda: server.started and httpx.get(f"{url}/health/ready").status_code == 200, 20, "it is ready")
        yield url
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()
