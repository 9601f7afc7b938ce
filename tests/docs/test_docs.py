"""What the pages name exists, and what they show works: links, files, commands, endpoints, variables, examples."""

import json
import re
from argparse import ArgumentParser, _SubParsersAction
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
import time_machine
from django.core.management import get_commands, load_command_class
from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator

from dispatch.bulk.batch_serializers import NewBatch
from dispatch.bulk.broadcast_serializers import BroadcastFields, NewBroadcast
from dispatch.declarations import apply, wanted
from dispatch.models import Announcement
from dispatch.serializers import MessageDocument, NewMessage
from dispatch.suppression_views import NewSuppression
from sendmsg import __version__
from sendmsg.api.codes import KINDS
from sendmsg.api.problems import Problem
from sendmsg.environment import read_environment
from sendmsg.journal.events import EventType
from sendmsg.variables import VARIABLES
from tests.docs.pages import CHANGELOG, DOCS, OURS, PAGES, README, ROOT, Page, codes
from webhooks.callbacks import payloads
from webhooks.callbacks.serializers import NewEndpoint, ReplayRequest

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
every_page_of_ours = pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)

WRITTEN = re.compile(r"(?<!/v1/)\b(?:sendmsg|dispatch|webhooks|tests|docs)/[\w./-]*")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
ENDPOINT = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[^\s?]*)")
MANAGE = re.compile(r"manage\.py (\w+)([^\n|`#]*)")
OUTSIDE = {
    "GET /docs",
    "GET /openapi.json",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /webhooks/{}/{}",
    "POST /webhooks/{}/{}",
}
"""Endpoints that are not of the API, so the OpenAPI document leaves them out."""


@cache
def sources() -> str:
    folders = [ROOT / name for name in ("sendmsg", "dispatch", "webhooks")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    return "\n".join(path.read_text("utf-8") for path in (ROOT / "Makefile", *files))


@cache
def endpoints() -> set[str]:
    for endpoint in OUTSIDE:
        resolve(endpoint.split(" ")[1].replace("{}", "x"))
    generator: Any = SchemaGenerator  # untyped
    paths = generator().get_schema(request=None, public=True)["paths"]
    return OUTSIDE | {f"{method.upper()} {_shape(path)}" for path, methods in paths.items() for method in methods}


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


@every_page
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        assert not fragment or fragment in Page(target).anchors, link


@every_page
def test_files_that_are_named_exist(page: Page) -> None:
    for word in page.words:
        for path in WRITTEN.findall(word):
            assert "<" in word or (ROOT / path).exists(), word


@every_page
def test_variables_that_are_named_exist(page: Page) -> None:
    elsewhere = {"PRECONDITION_FAILED"}  # RabbitMQ's word
    tests = (ROOT / "tests/servers/obtain.py").read_text()
    known = elsewhere | set(VARIABLE.findall(sources() + tests))
    for word in page.words:
        for name in VARIABLE.findall(word):
            assert name.removesuffix("_FILE") in known, name


@every_page_of_ours
def test_endpoints_that_are_named_exist(page: Page) -> None:
    for word in page.words:
        for method, path in ENDPOINT.findall(word):
            assert f"{method} {_shape(path)}" in endpoints(), word


def test_every_endpoint_is_in_the_readme() -> None:
    named = {f"{method} {_shape(path)}" for word in README.words for method, path in ENDPOINT.findall(word)}

    assert named == endpoints()


@every_page
def test_metrics_that_are_named_exist(page: Page) -> None:
    declared = set(codes(DOCS["metrics"].rows("Metric")))  # which another test holds to the code

    assert set(re.findall(r"\bsendmsg_(?!logs\b)\w+", page.text)) <= declared


@every_page
def test_commands_that_are_named_exist_with_their_flags(page: Page) -> None:
    for name, rest in MANAGE.findall(page.text):
        flags = set(re.findall(r"--[a-z-]+", rest))
        if name == "quickstart":
            continue
        assert name in get_commands(), name
        app = get_commands()[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        assert flags <= flags_of(command.create_parser("manage.py", name)), name


def flags_of(parser: ArgumentParser) -> set[str]:
    """Its own, and those of the words that it takes."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            found |= {flag for inner in action.choices.values() for flag in flags_of(inner)}
    return found


@every_page
def test_make_targets_that_are_named_exist(page: Page) -> None:
    [phony] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = set(phony.split())
    lines = [*page.words, *(line for block in page.blocks("bash") for line in block.splitlines())]

    for line in lines:
        if made := re.match(r"make ((?:[a-z-]+\b ?)+)", line):
            assert set(made[1].split()) <= targets, line


def test_tests_that_are_named_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`(test_\w+)`", page.text):
            assert any(
                re.search(rf"^ *def {name}\(", path.read_text(), re.MULTILINE)
                for path in (ROOT / "tests").rglob("test_*.py")
                if path.name in page.text
            ), name


SHOWN = {"messages": NewMessage, "webhooks": NewEndpoint, "replay": ReplayRequest}
"""What the bodies that are shown are read with, by the end of their address."""


def requests_shown() -> list[tuple[str, dict[str, Any]]]:
    calls = [call for page in OURS for block in page.blocks("bash") for call in block.split("curl ")]
    found = [re.search(r"""^"?[^\s"]*/(\w+)[\s"].*-d '(\{.*?\})'""", call, re.DOTALL) for call in calls]
    return [(match[1], json.loads(match[2])) for match in found if match]


def test_the_requests_that_are_shown_are_accepted() -> None:
    assert {address for address, _ in requests_shown()} == set(SHOWN)
    for address, body in requests_shown():
        send_at = datetime.fromisoformat(body["send_at"]) if "send_at" in body else datetime.now().astimezone()
        with time_machine.travel(send_at - timedelta(days=1), tick=False):
            wanted = SHOWN[address](data=body)
            assert wanted.is_valid(), wanted.errors


def test_the_suppressions_that_are_shown_are_accepted() -> None:
    blocks = "".join(block for page in OURS for block in page.blocks("bash"))
    shown = [json.loads(body) for body in re.findall(r"--json '(\{.*?\})'", blocks)]

    assert shown
    for body in shown:
        wanted = NewSuppression(data=body)
        assert wanted.is_valid(), wanted.errors


def test_the_batches_and_broadcasts_that_are_shown_are_accepted() -> None:
    blocks = "".join(block for page in OURS for block in page.blocks("bash"))
    shown = [json.loads(body) for body in re.findall(r"--data '(\{.*?\})'\n", blocks, re.DOTALL)]
    shown += [json.loads(line) for line in re.findall(r"echo '(\{.*?\})'", blocks)]

    forms: list[type[BroadcastFields] | type[NewBatch]] = []
    for body in shown:
        forms.append(NewBatch if "messages" in body else NewBroadcast if "recipients" in body else BroadcastFields)
        wanted = forms[-1](data=body)
        assert wanted.is_valid(), wanted.errors
        for message in body.get("messages", ()):
            assert NewMessage(data=message).is_valid()
    assert set(forms) == {NewBatch, NewBroadcast, BroadcastFields}


def test_the_answers_that_are_shown_have_the_fields_of_real_ones() -> None:
    message, timeline, problem = (json.loads(block) for block in README.blocks("json"))

    assert list(message) == list(MessageDocument().fields)
    assert {event["type"] for event in timeline["results"]} <= set(EventType)
    assert list(problem) == list(Problem("validation_failed").document())
    assert (problem["status"], problem["title"]) == (KINDS[problem["code"]].status, KINDS[problem["code"]].title)
    known = DOCS["errors"].words
    assert all(error["code"] in known for error in problem["errors"])


def test_the_callback_that_is_shown_has_the_fields_of_a_real_one() -> None:
    [shown] = (json.loads(block) for block in DOCS["callbacks"].blocks("json"))
    announced = Announcement(type=shown["type"], message_id=shown["data"]["id"], data={})
    message = payloads.Original(uuid4(), "sms", "+447700900123", "", 1, "", {}, datetime.now().astimezone())

    real = payloads.envelope(shown["type"], message.created_at, payloads.of_message(announced, message, {}))

    assert (list(shown), list(shown["data"])) == (list(real), list(real["data"]))


def test_the_example_environment_starts_once_its_secrets_are_filled_in(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / ".env.example").read_text()
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
        monkeypatch.delenv(f"{variable.name}_FILE", raising=False)
    dotenv = tmp_path / ".env"

    dotenv.write_text(text)
    with pytest.raises(SystemExit, match="SECRET_KEY must not be empty"):
        read_environment(VARIABLES, dotenv)
    monkeypatch.setenv("SECRET_KEY", "x")
    monkeypatch.setenv("CREDENTIALS_KEYS", "A" * 43 + "=")
    assert read_environment(VARIABLES, dotenv)["BROKER_URL"].startswith("amqp://")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "route"),
    list(zip(DOCS["operations"].blocks("yaml"), ["one-time codes", "eu, then us"], strict=True)),
    ids=["all kinds", "regions"],
)
def test_the_files_of_connections_that_are_shown_can_be_applied(
    text: str, route: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "twilio").write_text("token")
    for name in re.findall(r"env: (\w+)", text):
        monkeypatch.setenv(name, "a-value")

    declared = wanted.parse(text.replace("/run/secrets", str(tmp_path)))

    assert f"+ route {route}" in apply.apply(declared, by="cli:test")
    assert apply.apply(declared, by="cli:test") == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_is_short(path: Any) -> None:
    assert len(path.read_text().splitlines()) <= 40


def test_the_newest_change_is_this_version() -> None:
    assert re.findall(r"^## v(\S+) - ", CHANGELOG.text, re.MULTILINE)[0] == __version__


def test_the_picture_can_be_read_without_being_seen() -> None:
    picture = ElementTree.parse(ROOT / "docs/way.svg").getroot()
    space = {"svg": "http://www.w3.org/2000/svg"}

    assert picture.findtext("svg:title", namespaces=space)
    assert picture.findtext("svg:desc", namespaces=space)


def test_the_readme_links_every_page() -> None:
    linked = {link.partition("#")[0] for link in README.links}
    pages = {page.name for page in DOCS.values() if page.path.parent == ROOT / "docs"}

    assert pages | {"docs/decisions", CHANGELOG.name} <= linked
