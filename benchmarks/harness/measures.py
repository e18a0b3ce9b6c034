"""What processes cost, as Linux tells it: processor time and memory, children included."""

from pathlib import Path

import psutil


def family(pid: int) -> list[psutil.Process]:
    """A process and everything that it has started."""
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its living children, in seconds, to 10 ms."""
    total = 0.0
    for process in family(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its children, in MB of 10^6 bytes.

    Raises:
        RuntimeError: the kernel does not tell it.
    """
    total = 0
    for process in family(pid):
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    if not total:
        raise RuntimeError("the kernel does not tell PSS")
    return total * 1024 / 1e6
