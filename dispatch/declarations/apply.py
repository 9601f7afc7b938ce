"""Makes connections and routes what a file says, all of it or nothing, and tells the differences.

The file counts as a whole: a key that it leaves out has its default, but for what is not the file's alone. Weights and
credentials that it does not name stay, and nobody is paused or resumed: operators do that while the gateway runs. What
is not in the file stays too, or with `prune` is switched off; nothing is ever deleted but steps of a route.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from django.db import connection as database
from django.db import transaction

from dispatch import directory, history, routes
from dispatch.admin.connection_form import ConnectionForm
from dispatch.declarations.routes import RouteApplier
from dispatch.declarations.schema import CONNECTION, Checker, DeclarationError, told
from dispatch.declarations.wanted import Declaration, WantedConnection
from dispatch.models import Connection
from dispatch.providers.registry import PROVIDERS
from sendmsg.errors import ConfigurationError

logger = structlog.stdlib.get_logger(__name__)

LOCK: Final = 5_347_201  # any number that nobody else locks: two deploys at once take turns
COLUMNS: Final = tuple(key for key in CONNECTION if key != "credentials")


def apply(declaration: Declaration, by: str, *, prune: bool = False, dry_run: bool = False) -> list[str]:
    """The differences, a line each; none if all is as the file says. Raises `DeclarationError` and changes nothing.

    `dry_run`: everything is done and taken back.
    """
    with transaction.atomic():
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        connections = _Applier(by)
        if declaration.connections is not None:
            connections.apply(declaration.connections, prune)
        ways = RouteApplier(connections.errors, strict=prune and declaration.connections is not None)
        if declaration.routes is not None:
            ways.apply(declaration.routes, prune, {one.name for one in declaration.connections or ()})
        if ways.errors:
            raise DeclarationError(ways.errors)
        transaction.set_rollback(dry_run)
    lines = connections.lines + ways.lines
    if not dry_run:
        for line in lines:
            logger.info("applied", by=by, change=line.strip())
        directory.forget()
        routes.forget()
    return lines


class _Applier(Checker):
    """Connections. Without their credentials in memory, where those are not compared."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._by = by

    def apply(self, wanted: Sequence[WantedConnection], prune: bool) -> None:
        rows = {row.name: row for row in Connection.objects.defer("credentials").select_for_update()}
        for one in wanted:
            self._connection(one, rows.get(one.name))
        if prune:
            names = {one.name for one in wanted}
            for name, row in rows.items():
                if row.enabled and name not in names:
                    row.enabled = False
                    row.save(update_fields=["enabled", "updated_at"])
                    self.lines.append(f"- connection {name}: disabled, it is not in the file")

    def _connection(self, wanted: WantedConnection, row: Connection | None) -> None:
        path = f"connections.{wanted.name}"
        if not self._provider_fits(path, wanted, row):
            return
        form = ConnectionForm(_data(wanted, row), instance=row or Connection())
        before = _values(row) if row else {}
        stored = _stored(row) if row else {}
        if not form.is_valid():
            for name, texts in form.errors.items():
                place = {"new_credentials": ".credentials", "__all__": "", "name": ""}.get(name, f".{name}")
                for text in texts:
                    self.say(path + place, str(text))
            return
        after = {column: form.cleaned_data[column] for column in COLUMNS}
        changes = {column: value for column, value in after.items() if row is None or before[column] != value}
        secrets = [] if wanted.credentials is None else _secret_lines(stored, wanted.credentials)
        if row is None:
            form.instance.save()
            shown = [f"    {column}: {told(value)}" for column, value in changes.items() if column in wanted.values]
            self.lines += [f"+ connection {wanted.name}", *shown, *secrets]
        elif changes or secrets:
            self._save(row, before["weight"], changes, bool(secrets))
            shown = [f"    {column}: {told(before[column])} -> {told(value)}" for column, value in changes.items()]
            self.lines += [f"~ connection {wanted.name}", *shown, *secrets]

    def _provider_fits(self, path: str, wanted: WantedConnection, row: Connection | None) -> bool:
        """The form would say it in words of a form."""
        slug = wanted.values.get("provider", "")
        if slug not in PROVIDERS:
            text = f"{slug} is no provider" if slug else "a connection needs a provider"
            self.say(f"{path}.provider", f"{text}: they are {', '.join(sorted(PROVIDERS))}")
            return False
        if row is not None and row.provider != slug:
            self.say(
                f"{path}.provider", f"it is {row.provider}, and stays: messages know it. Make one with another name."
            )
            return False
        return True

    def _save(self, row: Connection, weight: int, changes: Mapping[str, Any], secrets: bool) -> None:
        wanted_weight, row.weight = row.weight, weight
        columns = [column for column in changes if column != "weight"] + ["credentials"] * secrets
        if columns:
            row.save(update_fields=[*columns, "updated_at"])
        history.weigh(row, wanted_weight, self._by)


def _data(wanted: WantedConnection, row: Connection | None) -> dict[str, Any]:
    kept = {"weight": row.weight} if row else {}
    credentials = wanted.credentials
    return {
        **{column: _default(column) for column in COLUMNS},
        **kept,
        **wanted.values,
        "name": wanted.name,
        "new_credentials": None if credentials is None else dict(credentials),
    }


def _default(column: str) -> Any:
    field: Any = Connection._meta.get_field(column)
    if field.has_default():
        return field.get_default()
    return None if field.null else ""


def _values(row: Connection) -> dict[str, Any]:
    return {column: getattr(row, column) for column in COLUMNS}


def _stored(row: Connection) -> dict[str, Any]:
    try:
        found: Any = Connection.objects.values_list("credentials", flat=True).get(pk=row.pk)
    except ConfigurationError:  # none of our keys reads them: all are new
        return {}
    return dict(found)


def _secret_lines(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Which credentials differ, by name alone."""
    words = {name: "added" for name in wanted if name not in stored}
    words |= {name: "removed" for name in stored if name not in wanted}
    words |= {name: "changed" for name in stored if name in wanted and stored[name] != wanted[name]}
    return [f"    credentials.{name}: {word}" for name, word in sorted(words.items())]
