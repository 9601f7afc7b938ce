"""A process that serves must not outlive the one that started it.

granian's workers would go on after a SIGKILL of their parent: with its old code, beside the one that replaces it, on
the same port.
"""

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """Ask this process to end when its parent has; nothing for a process that `multiprocessing` did not start."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="orphan-watch", daemon=True).start()
