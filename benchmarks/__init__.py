"""Synchronous prediction, measured: `make bench`. Each scenario is a file, runs alone, and leaves JSON."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The harness of the tests starts the platform's processes here too.
sys.path.insert(0, str(ROOT / "tests"))
