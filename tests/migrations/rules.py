"""What a migration may do while processes of the version before still run, and while rows are written.

    python -m tests.migrations.rules      part of `make check`

A deploy migrates first and starts the new processes one by one, so for minutes old code works on the new tables. A
migration must leave it what it reads and writes, and must hold no lock for longer than a statement. What breaks that
is named, with what to do in its place. It reads migrations only, and so needs no database.

A migration that knows better says why in an attribute: `safe_because = "no version since 0.3 reads the column"`.
"""

import sys
from collections.abc import Iterator

import django
from django.apps import apps
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.db import connection
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import CharField, Field, GeneratedField, ManyToManyField
from django.db.models.fields import NOT_PROVIDED

OURS = frozenset({"accounts", "api", "dispatch", "journal", "logs", "sealing", "webhooks"})
BEFORE_THE_FIRST_RELEASE = frozenset(
    {
        ("dispatch", "0002_engine"),
        ("dispatch", "0003_broadcasts"),
        ("dispatch", "0007_receipt_wait"),
        ("webhooks", "0003_keywords"),
    }
)
"""They break a rule, and no version was before theirs that could still run. Nothing is ever added here."""

GONE: dict[type[Operation], str] = {
    operations.DeleteModel: "old code still reads and writes the table: stop using it in one version, drop it in the next",
    operations.RemoveField: "old code still reads the column: stop using it in one version, drop it in the next",
    operations.RenameField: "old code knows the column by its old name: add another, fill both, drop the old one later",
    operations.RenameModel: "old code knows the table by its old name: set db_table to it",
    operations.AlterModelTable: "old code knows the table by its old name",
    operations.AlterUniqueTogether: "builds an index under a lock: AddIndexConcurrently, or a constraint on a new table",
}


def faults(migration: Migration, state: ProjectState) -> list[str]:
    """What the migration may not do; `state` is that of the project before it, and is moved past it."""
    if migration.app_label not in OURS or migration.initial:
        migration.mutate_state(state, preserve=False)
        return []
    found: list[str] = []
    fresh: set[str] = set()
    for operation in _of_the_database(migration.operations):
        if isinstance(operation, operations.CreateModel):
            fresh.add(operation.name_lower)
        elif getattr(operation, "model_name_lower", getattr(operation, "name_lower", "")) not in fresh:
            found += [f"{operation.describe()}: {fault}" for fault in _judge(operation, migration.app_label, state)]
        operation.state_forwards(migration.app_label, state)
    return [] if getattr(migration, "safe_because", "") else found


def _of_the_database(given: list[Operation]) -> Iterator[Operation]:
    for operation in given:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from operation.database_operations
        else:
            yield operation


def _judge(operation: Operation, app: str, state: ProjectState) -> Iterator[str]:
    if type(operation) in GONE:
        yield GONE[type(operation)]
    elif isinstance(operation, operations.RunSQL | operations.RunPython):
        yield "can't be judged: say in `safe_because` why old code and rows under way don't mind"
    elif isinstance(operation, operations.AddIndex) and not isinstance(operation, AddIndexConcurrently):
        yield "nobody can write meanwhile: AddIndexConcurrently, in a migration with atomic = False"
    elif isinstance(operation, operations.RemoveIndex) and not isinstance(operation, RemoveIndexConcurrently):
        yield "waits for every statement under way, and holds up those behind: RemoveIndexConcurrently"
    elif isinstance(operation, operations.AddConstraint) and not isinstance(operation, AddConstraintNotValid):
        yield "all rows are read under a lock: AddConstraintNotValid, and ValidateConstraint in a later migration"
    elif isinstance(operation, operations.AddField):
        yield from _judge_new(operation.field)
    elif isinstance(operation, operations.AlterField):
        yield from _judge_change(state.models[app, operation.model_name_lower].fields[operation.name], operation.field)


def _judge_new(field: "Field[object, object]") -> Iterator[str]:
    if isinstance(field, ManyToManyField):
        return  # a table of its own
    if isinstance(field, GeneratedField):
        yield "the whole table is written anew under a lock: a plain column, filled by the code"
        return
    if not field.null and field.db_default is NOT_PROVIDED:
        yield "old code inserts rows without it: null=True, or db_default beside default"
    if field.unique or field.db_index:
        yield "builds an index under a lock: db_index=False, and AddIndexConcurrently in a later migration"


def _judge_change(before: "Field[object, object]", after: "Field[object, object]") -> Iterator[str]:
    grows = (
        isinstance(before, CharField)
        and isinstance(after, CharField)
        and (after.max_length is None or (before.max_length or sys.maxsize) <= after.max_length)
    )
    if before.db_type(connection) != after.db_type(connection) and not grows:
        yield "old code writes the old type, and rows are written anew under a lock: add another column"
    if before.null and not after.null:
        yield "old code may write NULL, and all rows are read under a lock: a check that is AddConstraintNotValid"
    if (after.unique or after.db_index) and not (before.unique or before.db_index):
        yield "builds an index under a lock: AddIndexConcurrently"


def broken() -> dict[tuple[str, str], list[str]]:
    """Our migrations that break a rule, those of before the first release too: app and name, and what is wrong."""
    loader = MigrationLoader(None)
    state = ProjectState(real_apps={app.label for app in apps.get_app_configs()} - set(loader.migrated_apps))
    plan: list[tuple[str, str]] = []
    for leaf in sorted(loader.graph.leaf_nodes()):
        plan += [node for node in loader.graph.forwards_plan(leaf) if node not in plan]
    found = {node: faults(loader.graph.nodes[node], state) for node in plan}
    return {node: list_ for node, list_ in found.items() if list_}


def main() -> int:
    django.setup()
    new = {node: list_ for node, list_ in broken().items() if node not in BEFORE_THE_FIRST_RELEASE}
    for (app, name), list_ in new.items():
        for fault in list_:
            print(f"{app}.{name}: {fault}", file=sys.stderr)
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
