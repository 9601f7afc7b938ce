"""What a file of connections and routes may say, and that whatever is wrong is told with its place."""

from pathlib import Path

import pytest

from dispatch.declarations.schema import MAX_FILE, DeclarationError
from dispatch.declarations.wanted import WantedStep, parse

LINE = "connections: {line: {provider: sendmsg, base_url: https://sms.example, %s}}"
ROUTE = "routes: [{name: UK, steps: [{connection: line}], %s}]"


def errors(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        parse(text)
    return caught.value.errors


def test_a_file_is_read_into_what_is_wanted() -> None:
    found = parse(
        """
        connections:
          line: {provider: sendmsg, base_url: "https://sms.example", rate: 30, credentials: {api_key: "secret"}}
        routes:
          - name: UK
            destinations: [gb, "+44", GB]
            senders: [Acme, "+44 7700 900001"]
            priorities: [bulk, HIGH]
            steps: [{connection: line}, {connection: other, position: 2, sender: " Acme "}]
          - {name: rest, steps: [{connection: line, weight: 5}]}
        """
    )

    assert found.connections is not None
    assert found.routes is not None
    [line] = found.connections
    assert line.values == {"provider": "sendmsg", "base_url": "https://sms.example", "rate": 30}
    assert line.credentials == {"api_key": "secret"}
    uk, rest = found.routes
    assert uk.values == {
        "position": 10,
        "enabled": True,
        "channel": "",
        "destinations": "GB +44",
        "senders": "Acme\n+447700900001",
        "priorities": "high bulk",
        "reroute_undelivered": False,
    }
    assert uk.steps == (WantedStep("line"), WantedStep("other", position=2, sender="Acme"))
    assert rest.values["position"] == 20


def test_an_empty_file_asks_for_nothing() -> None:
    found = parse("")

    assert (found.connections, found.routes) == (None, None)


def test_credentials_come_from_variables_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINE_KEY", "from the environment")
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")

    found = parse(LINE % f"credentials: {{api_key: {{env: LINE_KEY}}, webhook_secrets: [plain, {{file: '{secret}'}}]}}")

    assert found.connections is not None
    assert found.connections[0].credentials == {
        "api_key": "from the environment",
        "webhook_secrets": ["plain", "from a file"],
    }
    assert "from" not in repr(found)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[", "line 1: this is no YAML"),
        ("a: b: c", "line 1: this is no YAML"),
        ("\x00", "this is no YAML"),
        ("? [a]\n: b", "line 1: this is no YAML"),
        ("!!python/object/apply:os.getcwd []", "line 1: this is no YAML"),
        ("x" * (MAX_FILE + 1), "the file has more than"),
        ("hello", "the file: this is text, where a mapping is needed"),
        ("connection: {}", "the file.connection: unknown; known are connections, routes"),
        ("connections: {a: {}, a: {}}", "connections.a: stands there twice (line 1)"),
        ("connections: {1: {}}", "connections.1: a name is text"),
        ("connections: {a: [x]}", "connections.a: this is a list, where a mapping is needed"),
        (LINE % "colour: red", "connections.line.colour: unknown; known are provider"),
        (LINE % "rate: fast", "connections.line.rate: this is text, where a whole number or a number or null"),
        (LINE % "enabled: 1", "connections.line.enabled: this is a whole number to YAML, where true or false"),
        (LINE % "weight: true", "connections.line.weight: this is true or false to YAML, where a whole number"),
        (LINE % "region: 2030-12-31", "connections.line.region: this is something else, where text"),
        (LINE % "credentials: {a: 4711}", "connections.line.credentials.a: write text in quotes"),
        (LINE % "credentials: {a: [{env: 1}]}", "connections.line.credentials.a[0]: write text in quotes"),
        (LINE % "credentials: {a: {vault: x}}", "connections.line.credentials.a: write text in quotes"),
        (LINE % "credentials: {a: {env: NOT_THERE}}", "the environment variable NOT_THERE is not set"),
        (LINE % "credentials: {a: {file: /not/there}}", "the file /not/there can't be read: No such file"),
        (LINE % "credentials: {a: {file: /dev/null}}", "the file /dev/null is empty"),
        ("routes: [{name: UK}]", "routes[0] (UK).steps: a route needs at least one step"),
        ("routes: [{steps: [{connection: line}]}]", "routes[0].name: a route needs a name"),
        ("routes: [{name: UK, steps: [{}]}]", "routes[0] (UK).steps[0].connection: a step needs the name"),
        (ROUTE % "channel: fax", "routes[0] (UK).channel: fax is no channel"),
        (ROUTE % "position: -1", "routes[0] (UK).position: a number from 0"),
        (ROUTE % "destinations: [NO]", "routes[0] (UK).destinations[0]: this is true or false to YAML"),
        (ROUTE % "destinations: [+44]", 'where text (in quotes: "+44", "NO", "12345") is needed'),
        (ROUTE % 'destinations: ["+0"]', "routes[0] (UK).destinations: +0 is no prefix"),
        (ROUTE % 'destinations: ["4477"]', "routes[0] (UK).destinations: 4477 is no prefix"),
        (ROUTE % "destinations: [UK]", "routes[0] (UK).destinations: UK is no country"),
        (ROUTE % 'senders: ["!"]', "routes[0] (UK).senders: !: A sender is"),
        (ROUTE % "channel: whatsapp, senders: [Acme]", "routes[0] (UK).senders: Acme: A whatsapp sender is a number"),
        (ROUTE % "priorities: [urgent]", "routes[0] (UK).priorities: urgent is no priority: they are high, normal"),
        ("routes: [{name: A, steps: [{connection: a, weight: 99999}]}]", "routes[0] (A).steps[0].weight: a number"),
        ("routes: [{name: A, steps: [{connection: a, sender: '!'}]}]", "routes[0] (A).steps[0].sender: !: A sender"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, error: str) -> None:
    [found] = errors(text)

    assert error in found


def test_all_errors_are_told_at_once() -> None:
    found = errors("connections: {a: {x: 1}}\nroutes: [{name: A, steps: [{connection: a}]}, {name: A, steps: []}]")

    assert [one.split(":")[0] for one in found] == ["connections.a.x", "routes[1] (A).steps", "routes"]
    assert found[2] == "routes: more than one is named 'A'"
