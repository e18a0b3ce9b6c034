"""An API with one compute process, and two costly models in it."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import REGISTRY

from ai_platform.predictions.compute.child import NICER
from ai_platform.settings import Settings
from api_in_thread import live
from harness import Iris, eventually
from predictions.compute.costly import FINE, WAITS
from predictions.compute.publishing import publish_costly


def _computes(child: psutil.Process) -> bool:
    """Whether it is a compute process, and not one of those that try versions, which give way by less."""
    command = child.cmdline()
    return "predictions.compute.child" in " ".join(command) and command[-1] == str(NICER)


class Site:
    """An API with one compute process, a model that costs by the row and one that costs by the call."""

    def __init__(self, url: str, seen: Path) -> None:
        self.client = httpx.Client(base_url=url, timeout=30, limits=httpx.Limits(max_connections=100))
        self._threads = ThreadPoolExecutor(40)
        self._seen = seen
        self._authorizer = seen.with_name("gate")

    def ask(self, row: list[float], model: str = "costly", **headers: str) -> httpx.Response:
        return self.client.post(f"/models/{model}/predict", json={"features": row}, headers=headers)

    def later(self, body: dict[str, Any], model: str = "costly", **headers: str) -> "Future[httpx.Response]":
        return self._threads.submit(self.client.post, f"/models/{model}/predict", json=body, headers=headers)

    @contextlib.contextmanager
    def held(self, number: float, model: str = "costly") -> Iterator[None]:
        """The one process computes until the end, so that whatever is asked meanwhile has to wait."""
        held = self.later({"features": [number, WAITS, 0]}, model)
        eventually(lambda: [str(int(number))] in self.seen(), what="it has begun")
        try:
            yield
        finally:
            self._authorizer.touch()
            assert held.result(20).status_code == 200
            self._authorizer.unlink()

    @staticmethod
    def waiting(count: int) -> None:
        """Until so many wait."""
        gauge = "aip_predictions_waiting"
        eventually(lambda: REGISTRY.get_sample_value(gauge, {"place": "processes"}) == count, what=f"{count} wait")

    def seen(self) -> list[list[str]]:
        """The numbers of each call that the model has seen."""
        return [line.split() for line in self._seen.read_text(encoding="ascii").splitlines()]

    def compute_process(self) -> int:
        children = [child for child in psutil.Process().children() if _computes(child)]
        assert len(children) == 1
        return children[0].pid

    def close(self) -> None:
        self._threads.shutdown()
        self.client.close()


@pytest.fixture(scope="module")
def site(module_settings: Settings, iris: Iris, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    seen = tmp_path_factory.mktemp("seen") / "seen"
    seen.touch()
    publish_costly(module_settings, iris)
    publish_costly(module_settings, iris, "bulky", by_call=True)
    api = module_settings.api.model_copy(update={"compute_processes": 1, "wait_ms": 10_000})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSTLY_SEEN", str(seen))
        patch.setenv("COSTLY_GATE", str(seen.with_name("gate")))
        patch.setenv("COSTLY_PARENT", str(os.getpid()))
        with live(module_settings.model_copy(update={"api": api})) as url:
            site = Site(url, seen)
            for model in ("costly", "bulky"):
                eventually(lambda: site.ask([1.0, FINE, 0.0], model).status_code == 200, 60, f"{model} is loaded")  # noqa: B023
            yield site
            site.close()
