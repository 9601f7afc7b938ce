"""Turns itself into another program, as somebody else if asked, that dies with the process that started it.

    python -I -S launcher.py <parent's pid> <signal> <uid> <gid> <program> [<argument> …]

uid and gid are -1 to stay who we are. The kernel forgets a death signal when a process changes its user, and running
Python between fork and exec is unsafe beside threads: hence a program of its own, which rids us of both. The death
signal is Linux's; elsewhere an orphan lives until the next start of its server finds and ends it.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(parent: int, death_signal: int, uid: int, gid: int, command: list[str]) -> None:
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(death_signal))
        if os.getppid() != parent:  # it died before we could ask to hear of it
            sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    _parent, _death_signal, _uid, _gid = (int(argument) for argument in sys.argv[1:5])
    main(_parent, _death_signal, _uid, _gid, sys.argv[5:])
