"""The sandbox provider as a process: flags, listening, a ready line, a quick and quiet end.

    python -m sendmsg.sandbox --port 8002 --api-key KEY --receipt-secret SECRET

One event loop, nothing on disk. SIGTERM and SIGINT end it within a second: answers under way get `GRACE`
seconds, longer ones (a scenario's pause) are cut off, and receipts still to come are lost.
"""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from sendmsg.sandbox.application import application
from sendmsg.sandbox.endpoint import Provider
from sendmsg.sandbox.keepalive import target
from sendmsg.sandbox.ledger import Ledger
from sendmsg.sandbox.receipts import Receipts
from sendmsg.sandbox.scenarios import DEFAULT_PAUSES, SCENARIOS, Pause

ENDS = (signal.SIGTERM, signal.SIGINT)
GRACE = 0.5  # seconds
# Bytes. A body over the protocol's limit is read and dropped up to here; beyond, the connection is closed.
MAX_DROPPED = 1 << 30


@dataclass(frozen=True, slots=True)
class Options:
    """What the flags say; times in seconds. Port 0 takes a free one."""

    api_key: str = field(repr=False)
    receipt_secret: str = field(repr=False)
    port: int = 8002
    bind: str = "127.0.0.1"
    receipt_url: str | None = None
    latency: float = 0.0
    late: float = DEFAULT_PAUSES[Pause.LATE]
    slow: float = DEFAULT_PAUSES[Pause.SLOW]


async def serve(options: Options, sockets: Sequence[socket.socket]) -> None:
    """Serves on listening sockets until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for signum in ENDS:
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    pauses = DEFAULT_PAUSES | {Pause.LATE: options.late, Pause.SLOW: options.slow}
    provider = Provider(
        authorization=f"Bearer {options.api_key}".encode(),
        ledger=Ledger(),
        receipts=Receipts(options.receipt_secret, pauses),
        pauses=pauses,
        latency=options.latency,
        receipt_url=options.receipt_url,
    )
    server = HTTPServer(application(provider), max_body_size=MAX_DROPPED)
    server.add_sockets(sockets)
    host = f"[{options.bind}]" if ":" in options.bind else options.bind
    print(f"sandbox provider on http://{host}:{sockets[0].getsockname()[1]}", flush=True)

    await stop.wait()
    # Ctrl-C reaches the whole process group and a supervisor adds its own signal: one is enough.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    server.stop()
    end = asyncio.get_running_loop().time() + GRACE
    while provider.answering and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.01)
    await provider.receipts.close()
    await server.close_all_connections()


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code, 1 when it can't listen."""
    options = parse(argv)
    try:
        sockets = bind_sockets(options.port, options.bind)
    except OSError as error:
        hint = "; --port chooses another" if error.errno == errno.EADDRINUSE else ""
        where = f"{options.bind}:{options.port}"
        print(f"sandbox provider: can't listen on {where}: {error.strerror}{hint}", file=sys.stderr)
        return 1
    asyncio.run(serve(options, sockets))
    return 0


def parse(argv: Sequence[str]) -> Options:
    """Reads the flags; one that is missing or can't be used ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m sendmsg.sandbox",
        description="Speaks the provider protocol and sends nothing. The recipient's last digits choose:",
        epilog="\n".join(f"  {scenario.digits}  {scenario.meaning}" for scenario in SCENARIOS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    flag = parser.add_argument
    flag("--port", type=int, default=8002, help="0 takes a free one (default: 8002)")
    flag("--bind", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    flag("--api-key", metavar="KEY", help="else from SANDBOX_API_KEY")
    flag("--receipt-secret", metavar="SECRET", help="else from SANDBOX_RECEIPT_SECRET")
    flag("--receipt-url", metavar="URL", help="for messages that bring none; else they get no receipt")
    flag("--latency-ms", type=float, default=0.0, metavar="MS", help="added to every answer to a send")
    flag("--late-seconds", type=float, default=DEFAULT_PAUSES[Pause.LATE], metavar="S", help="of 01")
    flag("--slow-seconds", type=float, default=DEFAULT_PAUSES[Pause.SLOW], metavar="S", help="of 09")
    flags = parser.parse_args(argv)
    # Secrets come by environment where other users can read the process list.
    api_key = flags.api_key or os.environ.get("SANDBOX_API_KEY", "")
    receipt_secret = flags.receipt_secret or os.environ.get("SANDBOX_RECEIPT_SECRET", "")
    if not api_key:
        parser.error("--api-key or SANDBOX_API_KEY is required")
    if not receipt_secret:
        parser.error("--receipt-secret or SANDBOX_RECEIPT_SECRET is required")
    if not 0 <= flags.port <= 65_535:
        parser.error("--port: expected 0 to 65535")
    times = (flags.latency_ms / 1000, flags.late_seconds, flags.slow_seconds)
    if not all(0 <= seconds < 3600 for seconds in times):
        parser.error("times: expected 0 or more, less than an hour")
    if flags.receipt_url is not None:
        try:
            target(flags.receipt_url)
        except ValueError as error:
            parser.error(f"--receipt-url: {error}")
    return Options(
        api_key=api_key,
        receipt_secret=receipt_secret,
        port=flags.port,
        bind=flags.bind,
        receipt_url=flags.receipt_url,
        latency=flags.latency_ms / 1000,
        late=flags.late_seconds,
        slow=flags.slow_seconds,
    )
