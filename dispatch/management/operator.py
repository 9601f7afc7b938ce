"""Who runs a command, for the records of what was done."""

import getpass


def operator() -> str:
    """`cli:` and the system's user."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return "cli:unknown"
