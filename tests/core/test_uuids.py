"""UUIDs come out of the database as such, alone, in arrays and where there is none."""

from uuid import UUID, uuid4

import pytest
from django.db import connection

from sendmsg import uuids

pytestmark = pytest.mark.django_db


def asked(value: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {value}")
        return cursor.fetchone()[0]


def test_a_value_is_a_uuid_and_none_is_none() -> None:
    one = uuid4()

    assert asked(f"'{one}'::uuid") == one
    assert asked("NULL::uuid") is None
    assert asked(f"ARRAY['{one}', NULL]::uuid[]") == [one, None]
    assert asked("'{}'::uuid[]") == []


def test_the_same_is_made_once() -> None:
    one = uuid4()

    assert asked(f"'{one}'::uuid") is asked(f"'{one}'::uuid")


def test_those_that_are_not_used_any_more_are_forgotten() -> None:
    for number in range(uuids.KNOWN + 10):
        uuids.read(str(UUID(int=number)), None)

    assert uuids._made.cache_info().currsize == uuids.KNOWN
