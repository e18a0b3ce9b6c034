"""The machine that a benchmark ran on, in the words of its report."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """The processor's name in brackets, where Linux tells it; empty otherwise."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return f"({found[1]})" if found else ""


def place() -> str:
    """Cores, processor and system."""
    return f"{os.cpu_count()} cores {machine()}, {platform.system()} {platform.machine()}"


def described() -> str:
    """Date, place and Python, as one line."""
    return f"{datetime.now(UTC):%Y-%m-%d}, {place()}, Python {platform.python_version()}"
