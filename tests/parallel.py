"""Runs the same work in several threads at the same moment, and sees who waits for whom."""

import threading
from collections.abc import Callable

from django.db import connection, connections

PATIENCE = 30  # seconds until threads that do not end fail the test


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Call `work` with 0 to `count` - 1, each in a thread, all at once; raises what any of them raised."""
    start = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(PATIENCE)
            work(number)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "threads wait for each other"
    if errors:
        raise errors[0]


def somebody_waits_for_us() -> bool:
    """Whether any session waits for a lock that this thread's transaction on the default database holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        (count,) = cursor.fetchone() or (0,)
    return bool(count)
