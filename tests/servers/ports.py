"""Standard ports, taken by somebody else."""

import contextlib
import socket
from collections.abc import Iterator

from sendmsg.embedded.process import HOST


@contextlib.contextmanager
def taken(*ports: int) -> Iterator[None]:
    """Listen on these of the loopback's ports, unless somebody does already."""
    with contextlib.ExitStack() as listening:
        for port in ports:
            with contextlib.suppress(OSError):
                listening.enter_context(socket.create_server((HOST, port)))
        yield
