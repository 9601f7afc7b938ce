"""The rules for migrations: what each lets through, what it stops, and that ours keep to them."""

from typing import Any

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from tests.migrations.rules import BEFORE_THE_FIRST_RELEASE, broken, faults

TABLE = operations.CreateModel(
    "Letter",
    [
        ("id", models.BigAutoField(primary_key=True)),
        ("text", models.CharField(max_length=10)),
        ("note", models.CharField(max_length=10, null=True)),
    ],
)
INDEX = models.Index(fields=["text"], name="letter_text")
CHECK = models.CheckConstraint(condition=~models.Q(text=""), name="letter_has_text")

STOPPED: dict[str, tuple[Operation, str]] = {
    "a table that goes": (operations.DeleteModel("Letter"), "still reads and writes the table"),
    "a column that goes": (operations.RemoveField("Letter", "text"), "still reads the column"),
    "a column by another name": (operations.RenameField("Letter", "text", "body"), "by its old name"),
    "a table by another name": (operations.RenameModel("Letter", "Mail"), "by its old name"),
    "a table moved": (operations.AlterModelTable("Letter", "mail"), "by its old name"),
    "statements of SQL": (operations.RunSQL("UPDATE letters SET text = ''"), "can't be judged"),
    "code": (operations.RunPython(lambda apps, editor: None), "can't be judged"),
    "an index": (operations.AddIndex("Letter", INDEX), "AddIndexConcurrently"),
    "a constraint": (operations.AddConstraint("Letter", CHECK), "AddConstraintNotValid"),
    "a column that must be told": (
        operations.AddField("Letter", "size", models.IntegerField(default=0)),
        "inserts rows without it",
    ),
    "a column with an index": (
        operations.AddField("Letter", "size", models.IntegerField(null=True, db_index=True)),
        "builds an index",
    ),
    "another type": (operations.AlterField("Letter", "text", models.IntegerField()), "the old type"),
    "a shorter text": (operations.AlterField("Letter", "text", models.CharField(max_length=9)), "the old type"),
    "no more NULL": (operations.AlterField("Letter", "note", models.CharField(max_length=10)), "may write NULL"),
    "a column that becomes unique": (
        operations.AlterField("Letter", "text", models.CharField(max_length=10, unique=True)),
        "builds an index",
    ),
}
LET_THROUGH: dict[str, Operation] = {
    "another table": operations.CreateModel("Mail", [("id", models.BigAutoField(primary_key=True))]),
    "a column that may be missing": operations.AddField("Letter", "size", models.IntegerField(null=True)),
    "a column that the database fills": operations.AddField(
        "Letter", "size", models.IntegerField(default=0, db_default=0)
    ),
    "an index that holds nobody up": AddIndexConcurrently("Letter", INDEX),
    "a constraint for new rows": AddConstraintNotValid("Letter", CHECK),
    "a longer text": operations.AlterField("Letter", "text", models.CharField(max_length=11)),
    "other choices": operations.AlterField("Letter", "text", models.CharField(max_length=10, choices=[("a", "A")])),
}


def judged(*done: Operation, **attributes: Any) -> list[str]:
    """What is wrong with a migration of these operations, on a table that another one made."""
    state = ProjectState()
    TABLE.state_forwards("dispatch", state)
    kind = type("Migration", (Migration,), {"operations": list(done), "atomic": False, **attributes})
    return faults(kind("0099_next", "dispatch"), state)


@pytest.mark.parametrize("what", STOPPED)
def test_what_old_code_would_stumble_over_is_stopped(what: str) -> None:
    operation, reason = STOPPED[what]

    [fault] = judged(operation)

    assert reason in fault


@pytest.mark.parametrize("what", LET_THROUGH)
def test_what_old_code_does_not_notice_is_let_through(what: str) -> None:
    assert judged(LET_THROUGH[what]) == []


def test_a_table_of_the_same_migration_is_nobodys_yet() -> None:
    made = operations.CreateModel("Mail", [("id", models.BigAutoField(primary_key=True))])
    filled = operations.AddField("Mail", "text", models.CharField(max_length=10, unique=True))

    assert judged(made, filled) == []


def test_what_is_separated_from_the_state_is_judged_too() -> None:
    hidden = operations.SeparateDatabaseAndState(database_operations=[operations.RemoveField("Letter", "text")])

    assert len(judged(hidden)) == 1


def test_a_reason_lets_a_migration_through() -> None:
    gone = operations.RemoveField("Letter", "text")

    assert judged(gone, safe_because="no version since 0.3 reads it") == []


def test_our_migrations_keep_to_the_rules_since_the_first_release() -> None:
    assert set(broken()) == BEFORE_THE_FIRST_RELEASE
