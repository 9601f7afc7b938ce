"""The routes of a file: compared with those that there are, and made what it says.

A step that stays keeps its id: messages on their way remember by it what has refused them.
"""

from collections.abc import Collection, Iterable, Sequence

from django.core.exceptions import ValidationError

from dispatch import conditions
from dispatch.declarations.schema import Checker, told
from dispatch.declarations.wanted import WantedRoute, WantedStep
from dispatch.models import Connection, Route, RouteStep
from sendmsg.accounts.models import Account


class RouteApplier(Checker):
    """`errors`: those so far; with any, routes are only looked at. `strict`: steps may only go by connections of
    the file, because all others are switched off."""

    def __init__(self, errors: list[str], *, strict: bool) -> None:
        super().__init__()
        self.errors = errors
        self.lines: list[str] = []
        self._strict = strict

    def apply(self, wanted: Sequence[WantedRoute], prune: bool, in_file: Collection[str]) -> None:
        self._connections = {row.name: row for row in Connection.objects.defer("credentials")}
        self._in_file = in_file
        rows = {row.name: row for row in Route.objects.select_for_update()}
        for at, one in enumerate(wanted):
            self._route(f"routes[{at}] ({one.name})", one, rows.get(one.name))
        if prune:
            names = {one.name for one in wanted}
            for name, row in rows.items():
                if row.enabled and name not in names:
                    row.enabled = False
                    row.save(update_fields=["enabled", "updated_at"])
                    self.lines.append(f"- route {name}: disabled, it is not in the file")

    def _route(self, path: str, wanted: WantedRoute, row: Route | None) -> None:
        account = Account.objects.filter(name=wanted.account).first() if wanted.account else None
        if wanted.account and account is None:
            self.say(f"{path}.account", f"there is no account {wanted.account}")
        for number, step in enumerate(wanted.steps):
            self._check_step(f"{path}.steps[{number}]", step, str(wanted.values["channel"]))
        if self.errors:
            return
        values = {**wanted.values, "account": account}
        steps = list(row.steps.select_related("connection").defer("connection__credentials")) if row else []
        before, after = _in_order(map(_wanted, steps)), _in_order(wanted.steps)
        changes = {name: value for name, value in values.items() if row is None or getattr(row, name) != value}
        if row is None:
            row = Route.objects.create(name=wanted.name, **values)
            shown = [f"    {name}: {told(value)}" for name, value in values.items() if value not in ("", None, False)]
            self.lines += [f"+ route {wanted.name}", *shown, f"    steps: {_steps_told(after)}"]
        elif changes or before != after:
            shown = [f"    {name}: {told(getattr(row, name))} -> {told(value)}" for name, value in changes.items()]
            if before != after:
                shown.append(f"    steps: {_steps_told(before)} -> {_steps_told(after)}")
            self.lines += [f"~ route {wanted.name}", *shown]
            for name, value in changes.items():
                setattr(row, name, value)
            row.save()
        if before != after:
            self._set_steps(row, steps, after)

    def _check_step(self, path: str, step: WantedStep, channel: str) -> None:
        connection = self._connections.get(step.connection)
        if connection is None and step.connection in self._in_file:
            return  # which has an error of its own
        if connection is None:
            self.say(f"{path}.connection", f"there is no connection {step.connection}, neither stored nor in the file")
        elif self._strict and step.connection not in self._in_file:
            self.say(f"{path}.connection", f"{step.connection} is not in the file and would be switched off: add it")
        else:
            try:
                conditions.speaks(connection.provider, step.channel or channel)
            except ValidationError as error:
                self.say(path, error.messages[0])

    def _set_steps(self, route: Route, rows: Sequence[RouteStep], wanted: Sequence[WantedStep]) -> None:
        left = list(rows)
        for step in wanted:
            same = (step.connection, step.channel, step.sender)
            row = next((one for one in left if (one.connection.name, one.channel, one.sender) == same), None)
            if row is None:
                row = RouteStep(
                    route=route,
                    connection=self._connections[step.connection],
                    channel=step.channel,
                    sender=step.sender,
                )
            else:
                left.remove(row)
            row.position, row.weight = step.position, step.weight
            row.save()
        for row in left:
            row.delete()


def _in_order(steps: Iterable[WantedStep]) -> list[WantedStep]:
    """Within a position the order means nothing."""
    return sorted(steps, key=lambda step: (step.position, step.connection, step.channel, step.sender, step.weight))


def _wanted(step: RouteStep) -> WantedStep:
    return WantedStep(step.connection.name, step.position, step.weight, step.channel, step.sender)


def _steps_told(steps: Sequence[WantedStep]) -> str:
    return ", ".join(_step_told(step) for step in steps) or "-"


def _step_told(step: WantedStep) -> str:
    more = "".join(f" {word} {value}" for word, value in (("as", step.channel), ("from", step.sender)) if value)
    return f"{step.position} {step.connection} x{step.weight}{more}"
