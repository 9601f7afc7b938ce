"""A file that says which connections and routes there shall be, read strictly: `manage.py providers apply`.

Nothing here looks at the database. Whatever is wrong is told at once, each with its path in the file and what to do;
values of credentials are in no error.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dispatch import conditions
from dispatch.declarations.schema import CONNECTION, ROUTE, STEP, Checker, DeclarationError, load

MAX_SECRET: Final = 65_536  # characters of a file that a credential is read from
SPACING: Final = 10  # between the positions of routes that name none


@dataclass(frozen=True, slots=True)
class WantedConnection:
    """`values` by column, those that the file names; `credentials`: None leaves what is stored."""

    name: str
    values: Mapping[str, Any]
    credentials: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class WantedStep:
    """`connection`: a name; the rest as the columns of `RouteStep`."""

    connection: str
    position: int = 1
    weight: int = 100
    channel: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """`values` by column of `Route`; `account`: a name, "" for any."""

    name: str
    account: str
    values: Mapping[str, Any]
    steps: tuple[WantedStep, ...]


@dataclass(frozen=True, slots=True)
class Declaration:
    """None for a section that the file does not have."""

    connections: tuple[WantedConnection, ...] | None
    routes: tuple[WantedRoute, ...] | None


def parse(text: str) -> Declaration:
    """What the text of a file asks for; raises `DeclarationError`."""
    return _Reader().read(load(text))


class _Reader(Checker):
    """From plain values to what is wanted."""

    def read(self, content: Any) -> Declaration:
        content = self.checked(
            "the file", {} if content is None else content, {"connections": (dict,), "routes": (list,)}
        )
        connections = routes = None
        if "connections" in content:
            connections = tuple(self._connection(name, one) for name, one in content["connections"].items())
        if "routes" in content:
            routes = tuple(self._route(at, one) for at, one in enumerate(content["routes"]))
            names = [route.name for route in routes if route.name]
            for name in sorted({name for name in names if names.count(name) > 1}):
                self.say("routes", f"more than one is named {name!r}")
        if self.errors:
            raise DeclarationError(self.errors)
        return Declaration(connections, routes)

    def _connection(self, name: Any, content: Any) -> WantedConnection:
        path = f"connections.{name}"
        if not isinstance(name, str):
            self.say(path, "a name is text: write it in quotes")
        values = self.checked(path, content, CONNECTION)
        credentials = values.pop("credentials", None)
        if credentials is not None:
            credentials = {str(key): self._secret(f"{path}.credentials.{key}", one) for key, one in credentials.items()}
        return WantedConnection(str(name), values, credentials)

    def _secret(self, path: str, content: Any) -> Any:
        """Text as it stands, or from where `env` or `file` says; a list of such; None once it is an error."""
        if isinstance(content, list):
            return [self._secret(f"{path}[{at}]", one) for at, one in enumerate(content)]
        if isinstance(content, str):
            return content
        if isinstance(content, dict) and list(content) in (["env"], ["file"]):
            [(where, name)] = content.items()
            if isinstance(name, str):
                return self._from_env(path, name) if where == "env" else self._from_file(path, name)
        self.say(path, 'write text in quotes, a list, {env: "NAME"} for a variable or {file: "/path"} for a file')
        return None

    def _from_env(self, path: str, name: str) -> str | None:
        value = os.environ.get(name)
        if not value:
            self.say(path, f"the environment variable {name} is not set")
        return value

    def _from_file(self, path: str, name: str) -> str | None:
        try:
            with Path(name).open(encoding="utf-8") as file:
                value = file.read(MAX_SECRET + 1).strip()
        except (OSError, ValueError) as error:
            self.say(path, f"the file {name} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}")
            return None
        if not value or len(value) > MAX_SECRET:
            self.say(path, f"the file {name} is {'too long' if value else 'empty'}")
        return value

    def _route(self, at: int, content: Any) -> WantedRoute:
        values = self.checked(f"routes[{at}]", content, ROUTE)
        name = values.pop("name", "")
        path = f"routes[{at}] ({name})" if name else f"routes[{at}]"
        if not 0 < len(name) <= 60:
            self.say(f"routes[{at}].name", "a route needs a name of 60 characters at most")
        channel = self.channel(f"{path}.channel", values.get("channel", ""))
        lists = {key: self.texts(f"{path}.{key}", values.get(key, [])) for key in ("destinations", "senders")}
        priorities = self.texts(f"{path}.priorities", values.get("priorities", []))
        steps = [self._step(f"{path}.steps[{number}]", one) for number, one in enumerate(values.get("steps", []))]
        if not steps:
            self.say(f"{path}.steps", "a route needs at least one step: - connection: NAME")
        columns = {
            "position": self.count(f"{path}.position", values.get("position", (at + 1) * SPACING), 2**31 - 1),
            "enabled": values.get("enabled", True),
            "channel": channel,
            "destinations": self.valid(f"{path}.destinations", lambda: conditions.destinations(lists["destinations"])),
            "senders": self.valid(f"{path}.senders", lambda: conditions.senders_of(lists["senders"], channel)),
            "priorities": self.valid(f"{path}.priorities", lambda: conditions.priorities(priorities)),
            "reroute_undelivered": values.get("reroute_undelivered", False),
        }
        return WantedRoute(name, values.get("account", ""), columns, tuple(steps))

    def _step(self, path: str, content: Any) -> WantedStep:
        values = self.checked(path, content, STEP)
        if not values.get("connection"):
            self.say(f"{path}.connection", "a step needs the name of a connection")
        channel = self.channel(f"{path}.channel", values.get("channel", ""))
        sender = values.get("sender", "")
        if sender:
            sender = self.valid(f"{path}.sender", lambda: conditions.sender(values["sender"], channel))
        return WantedStep(
            connection=values.get("connection", ""),
            position=self.count(f"{path}.position", values.get("position", 1), 32767),
            weight=self.count(f"{path}.weight", values.get("weight", 100), 32767),
            channel=channel,
            sender=sender,
        )
