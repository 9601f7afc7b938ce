"""Statements are planned once for a connection, planned anew in time, and sent whole where that would not last."""

from time import monotonic
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from sendmsg import prepared
from sendmsg.prepared import PLANS_LAST, Prepared

pytestmark = pytest.mark.django_db
SUM = """
SELECT COALESCE(sum(one), 0) + %(more)s::int FROM unnest(%(numbers)s::int[]) AS n(one)
WHERE one = ANY(%(numbers)s) AND 5 %% 2 = 1
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [monotonic()]
    monkeypatch.setattr(prepared, "monotonic", lambda: now[0])
    return now


def run(statement: Prepared, **values: Any) -> Any:
    with connection.cursor() as cursor:
        statement.run(cursor, values)
        return cursor.fetchone()[0]


def words(statement: Prepared, **values: Any) -> list[str]:
    """The first word of each statement that was sent."""
    with CaptureQueriesContext(connection) as captured:
        run(statement, **values)
    return [one["sql"].split()[0] for one in captured]


def names() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements")
        return {row[0] for row in cursor.fetchall()}


def test_it_is_planned_once_and_answers_for_other_values() -> None:
    statement = Prepared(SUM)
    run(statement, more=1, numbers=[])

    before = names()
    assert [run(statement, more=more, numbers=[1, 2, 3]) for more in range(8)] == [6 + more for more in range(8)]
    assert words(statement, more=0, numbers=[4]) == ["EXECUTE"]
    assert names() == before


def test_without_parameters_too() -> None:
    assert [run(Prepared("SELECT 7")) for _ in range(2)] == [7, 7]


def test_its_plan_is_made_anew_in_time_and_the_old_one_forgotten(clock: list[float]) -> None:
    statement = Prepared(SUM)
    run(statement, more=1, numbers=[1])
    before = names()

    clock[0] += PLANS_LAST + 1

    assert run(statement, more=1, numbers=[1]) == 2
    assert len(names()) == len(before)
    assert names() != before


def test_a_plan_that_could_not_be_made_is_made_the_next_time() -> None:
    statement = Prepared("SELECT number FROM only_later WHERE number = %(number)s::int")
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="only_later"), transaction.atomic():
            run(statement, number=1)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE only_later ON COMMIT DROP AS SELECT 1 AS number")

    assert run(statement, number=1) == 1


def test_behind_a_pooler_it_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_backend", lambda raw: -1)  # PgBouncer makes a number up
    monkeypatch.setattr(prepared, "_sessions", type(prepared._sessions)())
    statement = Prepared(SUM)

    before = names()
    assert [run(statement, more=1, numbers=[1, 2]) for _ in range(2)] == [4, 4]
    assert words(statement, more=1, numbers=[1]) == ["SELECT"]
    assert names() == before


def test_another_connection_has_plans_of_its_own() -> None:
    statement = Prepared(SUM)
    run(statement, more=1, numbers=[1])
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            statement.run(cursor, {"more": 1, "numbers": [1]})
            assert cursor.fetchone()[0] == 2
    finally:
        other.close()


def test_a_parameter_without_a_type_is_a_mistake_that_shows_at_once() -> None:
    with pytest.raises(ValueError, match="no type for one, two"):
        Prepared("SELECT %(one)s, %(two)s, %(three)s::int")


def test_it_reads_as_it_was_written() -> None:
    assert str(Prepared(SUM)) == SUM
