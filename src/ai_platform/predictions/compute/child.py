"""The beginning of a compute process: `python -m ai_platform.predictions.compute.child SOCKET PARENT NICER`."""

import os
import signal
import socket
import sys

# The event loop of the API process must have a core at once when it wants one. Linux lets a thread that wakes interrupt
# another only if that has had its share, and a nicer one soon has: beside a loop that is busy half of the time, one
# wake-up in a hundred waited 2 ms at a niceness of 5 or 10, and 0.04 ms at 19. What is computed here takes milliseconds
# anyway, and gets what the loop leaves. Other programs have groups of their own (sched(7), autogroups and cgroups).
NICER = 19
# What starts and loads gives way by this alone, and so goes on beside those who compute all the time: a process that
# had to start at 19 on a busy machine did not within 20 s, and all calls waited for it.
STARTING_NICER = 5


def main() -> None:
    """Serve the API process on a socket until it closes it or dies."""
    # A terminal's or a group's signals are the API process' to act on: it ends this process when it has no more work.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from ai_platform.processes.parent_death import die_with

    if sys.platform == "linux":  # elsewhere the end of the socket has to do, which a busy process sees later
        die_with(int(sys.argv[2]))
    nicer = int(sys.argv[3])
    os.nice(min(nicer, STARTING_NICER))
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        from ai_platform.predictions.compute.serving import serve

        serve(channel, max(0, nicer - STARTING_NICER))


if __name__ == "__main__":
    main()
