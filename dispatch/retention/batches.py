"""Statements that change many rows and hold up nobody: short locks, few rows, rows that are held are passed over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection, transaction

LOCK_TIMEOUT: Final = "500ms"  # nobody waits longer behind a batch that itself waits
ROWS: Final = 500  # a transaction; tens of milliseconds


@contextmanager
def batch() -> Iterator[None]:
    """A transaction on the default database that gives up soon when it must wait for a lock: it is tried again."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        yield
