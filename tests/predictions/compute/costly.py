"""A model that costs what its input says, and misbehaves on demand. This very file is published, format `python`."""

import os
import signal
import time
from pathlib import Path

FINE, RAISES, DIES, WAITS = 0, 1, 2, 3


class Costly:
    """Doubles a number; takes `seconds` for each row, also on a busy machine, and holds the GIL."""

    inputs = ("number", "trouble", "seconds")
    together = sum

    def predict(self, rows: list[list[float]]) -> list[float]:
        seen = os.environ.get("COSTLY_SEEN")
        if seen is not None:
            with Path(seen).open("a", encoding="ascii") as file:
                file.write(" ".join(f"{row[0]:.0f}" for row in rows) + "\n")
        until = time.perf_counter() + Costly.together(row[2] for row in rows)
        while time.perf_counter() < until:
            pass
        troubles = {row[1] for row in rows}
        while WAITS in troubles and not Path(os.environ["COSTLY_GATE"]).exists():
            time.sleep(0.002)
        if RAISES in troubles:
            raise ValueError("not this row")
        if DIES in troubles:
            assert os.environ.get("COSTLY_PARENT") != str(os.getpid()), "computed in the API process"
            os.kill(os.getpid(), signal.SIGKILL)
        return [row[0] * 2 for row in rows]
