"""Who runs this process, for the record of who published what."""

import getpass
import os


def current_user() -> str:
    """The user's name, or the number of one that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"
