"""The beginning of a compute process: `python -m ai_platform.predictions.compute_child SOCKET PARENT`."""

import os
import signal
import socket
import sys

# The event loop of the API process must have a core at once when it wants one; what is computed here takes many
# milliseconds anyway. Not much nicer than that, because beside a busy loop on the same core it still has to be done.
NICER = 5


def main() -> None:
    """Serve the API process on a socket until it closes it or dies."""
    # A terminal's or a group's signals are the API process' to act on: it ends this process when it has no more work.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from ai_platform.models.confinement import die_with

    if sys.platform == "linux":  # elsewhere the end of the socket has to do, which a busy process sees later
        die_with(int(sys.argv[2]))
    os.nice(NICER)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        from ai_platform.predictions.compute_serving import serve

        serve(channel)


if __name__ == "__main__":
    main()
