"""How often workers and pumps look for garbage: seldom, because what they make is freed without the collector.

Python looks after every 700 new objects, and a batch of messages is some thousands. Reference counts free all of them
but for cycles, which errors with their tracebacks are, and those are few. A message through a worker costs up to a
tenth less so, and none of these processes holds more after a million (`make bench BENCH=memory`).

Not the web process: a request of Django REST framework is a cycle, and holds a list of megabytes until it is found.
"""

import gc
from typing import Final

YOUNG: Final = 50_000  # objects, of some hundred bytes each
MIDDLE, OLD = 20, 50  # looks at the young, until those are looked at which lasted; Python has 10 and 10


def relax() -> None:
    """For the whole process."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
