"""How often each process looks for garbage: seldom, because what it makes is freed without the collector.

Python looks after every 700 new objects, and a list of a thousand messages is fifty thousand. Reference counts free all
of them but for cycles, which errors with their tracebacks are, and those are few. A message through a worker cost a
tenth less so, one of a broadcast too, and no process held more after a million (`make bench BENCH=memory`).
"""

import gc
from typing import Final

YOUNG: Final = 50_000  # objects, of some hundred bytes each
MIDDLE, OLD = 20, 50  # looks at the young, until those are looked at which lasted; Python has 10 and 10


def relax() -> None:
    """For the whole process."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
