"""Another run of the project that starts a server and is then killed, as by the out-of-memory killer."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ORPHANING = "real = {module}.spawn; {module}.spawn = lambda *a, **k: real(*a, **(k | dict(death_signal=0)))"
SCRIPT = """
import os, signal
from pathlib import Path
import {module}
{orphaning}
server = {module}.{name}(Path({folder!r}), durable=False)
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_run(module: str, name: str, folder: Path, *, orphan: bool) -> int:
    """Start `module.name` on `folder` in a process that is killed at once; the server's pid.

    `orphan`: the server outlives its run, as it does where the kernel knows no death signal.
    """
    orphaning = ORPHANING.format(module=module) if orphan else ""
    script = SCRIPT.format(module=module, name=name, folder=str(folder), orphaning=orphaning)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout, done.stderr
    return int(done.stdout)
