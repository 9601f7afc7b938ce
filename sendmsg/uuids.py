"""UUIDs that come out of the database, each made once while it is in use.

psycopg2 hands a text to `UUID`, which takes a microsecond to take it apart. A message's id is read three times on its
way through a worker, and its account's with every message: that was a tenth of what a worker did for a batch.
"""

from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from django.db.backends.postgresql import base  # noqa: F401  registers its own when it is imported: ours comes after
from psycopg2 import extensions

KNOWN: Final = 8192  # the last ones; about two megabytes, and more than a process has under way
BY_POSTGRES: Final = (2950,), (2951,)  # object ids of the types uuid and uuid[] (pg_type.dat)

_made = lru_cache(KNOWN)(UUID)


def read(text: str | bytes | None, cursor: Any) -> UUID | None:
    return None if text is None else _made(str(text))


def register() -> None:
    """For every connection of this process; in place of Django's own, which comes with its backend."""
    one, many = BY_POSTGRES
    kind = extensions.new_type(one, "UUID", read)
    extensions.register_type(kind)
    extensions.register_type(extensions.new_array_type(many, "UUID[]", kind))
