"""A sign of life, for whoever must find out whether a process without a port still moves.

    python -m sendmsg.heartbeat                                 has the file HEARTBEAT_PATH been touched of late?
    python -m sendmsg.heartbeat http://127.0.0.1:8000/healthz   does a process with a port answer that with 200?

The loops of the project call `beat` at every turn, whether their work goes well or not: what is away is no reason to
start a process anew, a loop that hangs is. The question costs a Python without Django: it is asked every few seconds.

Fails open: a file that can't be written stops nobody, and the question is answered with no.
"""

import argparse
import http.client
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

MAX_AGE = 120.0  # seconds; over the longest step of a loop: a few statements of 20 seconds, the bound of a database's
ANSWER = 4.0  # seconds for an answer; under the usual timeout of a prober

_file = os.environ.get("HEARTBEAT_PATH", "")


def beat() -> None:
    """Say that the caller's loop moves; nothing without `HEARTBEAT_PATH`."""
    if _file:
        with suppress(OSError):
            Path(_file).touch()


def fault(max_age: float) -> str:
    """What is wrong with the sign of life; empty: nothing."""
    if not _file:
        return "HEARTBEAT_PATH is not set: name the file that the process touches"
    try:
        age = time.time() - Path(_file).stat().st_mtime
    except OSError as error:
        return f"{_file} can't be looked at: {error.strerror}"
    return "" if age <= max_age else f"{_file} was touched {age:.0f} s ago, {max_age:g} s are allowed"


def fault_of(url: str) -> str:
    """What is wrong with an answer to a GET; empty: nothing. The `Host` is that of PUBLIC_URL, which is answered to."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER)
    public = urlsplit(os.environ.get("PUBLIC_URL", "")).hostname
    try:
        connection.request("GET", parts.path or "/", headers={"Host": public} if public else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else f"{url} answers {status}"


def main(argv: Sequence[str]) -> int:
    """0: it lives. 1: it does not, and why on standard error."""
    parser = argparse.ArgumentParser(prog="python -m sendmsg.heartbeat", description="Does a process of ours live?")
    parser.add_argument("url", nargs="?", help="ask there; without: look at the file HEARTBEAT_PATH")
    parser.add_argument("--max-age", type=float, default=MAX_AGE, help=f"seconds (default {MAX_AGE:g})")
    options = parser.parse_args(argv)
    found = fault_of(options.url) if options.url else fault(options.max_age)
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
