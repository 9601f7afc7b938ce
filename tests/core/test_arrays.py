"""What we write as an array is what PostgreSQL reads."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from sendmsg.arrays import array

NOW = datetime(2026, 11, 29, 12, 30, 15, 123456, UTC)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def read(literal: str, kind: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{kind}[]", [literal])
        return cursor.fetchone()[0]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", [UUID(int=1), None, UUID(int=2)]),
        ("int", [1, -2, None]),
        ("bigint", [2**62, None]),
        ("bool", [True, False, None]),
        ("timestamptz", [NOW, None, NOW - timedelta(days=9000)]),
        ("text", ["", "NULL", "null", None, " a ", "a,b", "{}", '"', "\\", "'", "%s", "\n", "é", "😀"]),
        ("text", []),
        ("jsonb", ['{"a": "b, \\"c\\""}', "{}", None]),
    ],
)
@pytest.mark.django_db
def test_values_of_each_kind_arrive_as_they_are(kind: str, values: list[object]) -> None:
    assert read(array(values, kind), kind) == values


@pytest.mark.django_db
@given(values=st.lists(st.none() | texts))
def test_any_text_arrives_as_it_is(values: list[str | None]) -> None:
    assert read(array(values, "text"), "text") == values
