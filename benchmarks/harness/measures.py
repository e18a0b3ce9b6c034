"""What processes cost, as Linux tells it: processor time and memory, children included."""

from pathlib import Path

import psutil


def process_tree(pid: int) -> list[psutil.Process]:
    """A process and everything that it has started."""
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its living children, in seconds, to 10 ms."""
    total = 0.0
    for process in process_tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def loop_seconds(pid: int) -> float:
    """Seconds that a process's first thread, which has the event loop, has been on a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def pss_mb_each(pid: int) -> list[float]:
    """Proportional set size of a process and of each of its children, in MB of 10^6 bytes.

    Raises:
        RuntimeError: the kernel does not tell it.
    """
    found = []
    for process in process_tree(pid):
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024 / 1e6)
    if not sum(found):
        raise RuntimeError("the kernel does not tell PSS")
    return found


def pss_mb(pid: int) -> float:
    """Of all of them together."""
    return sum(pss_mb_each(pid))
