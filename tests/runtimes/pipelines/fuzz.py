"""Random pipelines against the library for some minutes: `make fuzz-pipelines`."""

import sys
import time
import traceback
from collections import Counter

from runtimes.pipelines.comparison import compare
from runtimes.pipelines.generator import trained

ROWS = 10_000


def main(minutes: float, seed: int) -> int:
    """Print each pipeline and a summary; the number of those that differ."""
    until, models, differing, slowest = time.monotonic() + minutes * 60, 0, 0, (0.0, "")
    forms: Counter[str] = Counter()
    while time.monotonic() < until:
        model = trained(seed)
        models += 1
        for sampled in (False, True):
            title = f"seed {seed}, {'with' if sampled else 'without'} a sample, {model.name}"
            try:
                found = compare(model, seed, ROWS, sampled=sampled)
            except Exception:  # noqa: BLE001  # to be counted, and the next is tried
                print(f"DIFF {title}: {traceback.format_exc()}", flush=True)
                differing += 1
                continue
            forms[found.form] += 1
            slowest = max(slowest, (found.seconds, title))
            verdict = "DIFF" if found.faults else "ok"
            print(f"{verdict} {title}: {found.form} {found.seconds:.2f} s {found.why} {found.faults or ''}", flush=True)
            differing += bool(found.faults)
        seed += 1
    print(f"{models} pipelines, with and without a sample, {ROWS} fresh rows each: {dict(forms)}, {differing} differ")
    print(f"the slowest to compile: {slowest}")
    return differing


if __name__ == "__main__":
    sys.exit(bool(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
