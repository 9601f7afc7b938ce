"""Each table of the docs says what the code says: no name is missing, none is invented, and the facts agree."""

import ast
import re
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.core.management import get_commands
from django.http import QueryDict
from prometheus_client.metrics import MetricWrapperBase
from rest_framework.exceptions import ValidationError

from dispatch import leases, verdicts
from dispatch.bulk.batch_serializers import NewBatch
from dispatch.bulk.broadcast_serializers import BroadcastFields
from dispatch.providers import registry, tables
from dispatch.serializers import MessageQuery, NewMessage
from dispatch.states import DEAD, EDGES, FINAL, State
from dispatch.vocabulary import AttemptOutcome, SuppressionReason
from sendmsg import transport
from sendmsg.accounts.scopes import Scope
from sendmsg.api.codes import KINDS
from sendmsg.api.parsing import loads
from sendmsg.api.problems import Problem, to_problem
from sendmsg.environment import Refused
from sendmsg.journal.events import EventType
from sendmsg.sandbox.scenarios import SCENARIOS
from sendmsg.telemetry import metrics
from sendmsg.telemetry.gauges import GAUGES
from sendmsg.variables import VARIABLES
from tests.docs.pages import CODE, DOCS, README, ROOT, codes
from webhooks.callbacks.schedule import DELAYS
from webhooks.callbacks.vocabulary import Kind
from webhooks.inbound import access
from webhooks.inbound.registry import INBOUND
from webhooks.models import Inbound, Receipt

GOOD = {"to": "+447700900000", "body": "hello"}
ODD_BODIES: tuple[dict[str, Any], ...] = (
    {"to": None, "body": ""},
    {"to": "07700900000", "x": 1},
    {**GOOD, "to": "abc", "metadata": {"a": 1}},
    {**GOOD, "to": "+4477009000001234", "channel": "fax"},
    {**GOOD, "from": "1234567890"},
    {**GOOD, "from": "!"},
    {**GOOD, "from": "Acme", "channel": "whatsapp"},
    {**GOOD, "body": "x" * 1600},
    {**GOOD, "body": "x" * 5000, "valid_for": 0, "send_at": "soon", "metadata": {"": "x"}},
    {**GOOD, "valid_for": 10**7, "send_at": "2030-13-01T00:00:00Z", "metadata": {str(i): "" for i in range(21)}},
    {**GOOD, "send_at": "9999-12-31T23:59:59-23:00"},
    {**GOOD, "send_at": "2020-01-01T00:00:00Z"},
    {**GOOD, "send_at": "9000-01-01T00:00:00Z"},
    {"body": "hello"},
    *(
        {**GOOD, "callback_url": url}
        for url in (
            *("no url", f"https://a.example/{'x' * 3000}", "ftp://a.example/", "https://me@a.example/"),
            *("https://a_b.example/", "https://a.example:22/", "https://10.0.0.1/"),
        )
    ),
)
ODD_QUERIES = ("limit=1&limit=2", "client_reference=%00", "limit=abc")
ODD_BATCHES: tuple[dict[str, Any], ...] = ({"messages": []},)
ODD_TEXTS = (rb'{"to": "a\u0000"}', rb'{"to": "\ud800"}')


def test_every_setting_has_its_default_and_range() -> None:
    rows = DOCS["settings"].rows("Name", "Default")
    defaults = {"must be set": None, "empty": ""}
    documented = {codes([row])[0]: defaults.get(row[1], row[1].strip("`")) for row in rows}

    assert documented == {variable.name: variable.default for variable in VARIABLES}
    readers = {variable.name: variable.read for variable in VARIABLES}
    for name, _, bounds, _ in DOCS["settings"].rows("Name", "Default", "Range"):
        read = readers[name.strip("`")]
        low, high = bounds.split(" to ")
        assert (read(low), read(high)) == (float(low), float(high))
        below = str(float(low) - 0.001) if "." in low else str(int(low) - 1)
        for outside in (below, str(int(high) + 1)):
            with pytest.raises(Refused):
                read(outside)


def test_every_metric_has_its_type_and_labels() -> None:
    found = {value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)}
    declared = {
        (metric._name + ("_total" if metric._type == "counter" else ""), metric._type, metric._labelnames)
        for metric in found
    }

    declared |= {(gauge.name, "gauge", gauge.labels) for gauge in GAUGES.values()}

    rows = DOCS["metrics"].rows("Metric")
    assert {(codes([row])[0], row[1], tuple(CODE.findall(row[2]))) for row in rows} == declared
    assert len(rows) == len(declared)


def test_every_problem_has_its_status() -> None:
    rows = DOCS["errors"].rows("Code", "Status")

    assert {codes([row])[0]: int(row[1]) for row in rows} == {code: kind.status for code, kind in KINDS.items()}


def test_every_code_of_a_field_is_one_that_can_happen() -> None:
    documented = set(codes(DOCS["errors"].rows("Code", section="Of a field")))

    assert documented == _happened()
    assert written_codes() <= documented


def _happened() -> set[str]:
    found = {"cursor_invalid", "not_changeable"}  # given behind the serializers, by the pager and by PATCH
    for serializer in (
        *(NewMessage(data=body) for body in ODD_BODIES),
        *(NewBatch(data=body) for body in ODD_BATCHES),
        BroadcastFields(data={"body": "Hello {{"}),
        *(MessageQuery(data=QueryDict(query)) for query in ODD_QUERIES),
    ):
        with pytest.raises(ValidationError) as caught:
            serializer.is_valid(raise_exception=True)
        found |= {error.code for error in to_problem(caught.value).errors}
    for text in ODD_TEXTS:
        with pytest.raises(Problem) as refused:
            loads(text)
        found |= {error.code for error in refused.value.errors}
    source = (ROOT / "dispatch/suitability.py").read_text()  # its own tests prove that each of them happens
    return found | set(re.findall(r'Unsuited\(\s*"\w+", "(\w+)"', source))


def test_every_code_of_a_recipient_is_one_that_the_code_gives() -> None:
    errors = DOCS["errors"]
    documented = {*codes(errors.rows("Code", section="Of a recipient")), *codes(errors.rows("Code"))}
    sources = [(ROOT / f"dispatch/bulk/{name}.py").read_text() for name in ("broadcasts", "lists")]
    given = {code for source in sources for code in re.findall(r'Fault\([^"]*"\w*", "(\w+)"', source)}
    given |= {code for source in sources for code in re.findall(r'Fault\([\w.]+, [\w.()]+, "(\w+)"', source)}

    assert set(codes(errors.rows("Code", section="Of a recipient"))) <= given <= documented


def written_codes() -> set[str]:
    """The codes that our own validation gives, read off its source."""
    places = {
        "ValidationError": 1,
        "ErrorDetail": 1,
        "InvalidNumber": 0,
        "InvalidSender": 0,
        "FieldError": 1,
        "RefusedURL": 0,
    }
    modules = (
        "dispatch/serializers",
        "dispatch/numbers",
        "dispatch/senders",
        "sendmsg/api/serializers",
        "sendmsg/destinations",
    )
    return {
        call.args[places[name]].value  # type: ignore[attr-defined]
        for module in modules
        for call in ast.walk(ast.parse((ROOT / f"{module}.py").read_text()))
        if isinstance(call, ast.Call)
        and (name := getattr(call.func, "attr", getattr(call.func, "id", ""))) in places
        and len(call.args) > places[name]
        and isinstance(call.args[places[name]], ast.Constant)
    }


def test_every_code_of_a_message_is_one_that_the_code_gives() -> None:
    documented = codes(DOCS["errors"].rows("Code", section="On a message"))
    adapters = [import_module(path.rpartition(".")[0]) for path in registry.PROVIDERS.values()]
    own = [table for adapter in adapters for table in vars(adapter).values() if isinstance(table, tables.ErrorTable)]
    rows = [tables.STATUSES, tables.CLASSES, *(part for table in own for part in (table.codes, table.statuses))]
    given = {verdict.code for row in rows for verdict in row.values()}
    given |= transport.NOT_SENT_CODES | {code for _, code in transport._UNKNOWN}
    given |= {leases.LOST.code, verdicts.NotSent().code}
    modules = ("sendmsg/http", "sendmsg/transport", "webhooks/inbound/enquiries")
    places = [*(ROOT / "dispatch").rglob("*.py"), *(ROOT / f"{module}.py" for module in modules)]
    written = "".join(path.read_text() for path in places)

    assert given <= set(documented)
    assert [code for code in documented if f'"{code}"' not in written] == []
    assert len(documented) == len(set(documented))


def test_every_answer_to_a_webhook_is_one_that_the_code_gives() -> None:
    documented = {code for row in DOCS["errors"].rows("Status", "Reason") for code in CODE.findall(row[1])}
    source = "".join(path.read_text() for path in (ROOT / "webhooks/inbound").glob("*.py"))

    assert documented == set(re.findall(r'(?:_refused\(|_later\(|code=)"(\w+)"', source))


def test_what_every_provider_proves_itself_with_is_described() -> None:
    rows = DOCS["receipts"].rows("Provider", "Proof")

    assert sorted(codes(rows)) == sorted(INBOUND)
    for slug, _, _, credentials in rows:
        assert set(INBOUND[slug.strip("`")].secret_names) <= set(CODE.findall(credentials))
    assert codes(DOCS["receipts"].rows("Credential")) == [access.TOKENS, access.PASSWORDS, access.ADDRESSES]


def test_every_event_type_is_described() -> None:
    assert codes(DOCS["events"].rows("Type")) == [kind.value for kind in EventType]


def test_every_state_and_every_edge_is_described() -> None:
    page = DOCS["states"]
    states = {codes([row])[0]: row[2] for row in page.rows("State", "Means", "")}
    edges = [(codes([row])[0], CODE.findall(row[1])[0]) for row in page.rows("From", "To")]

    assert list(states) == list(State)
    assert {state for state, mark in states.items() if mark.startswith("final")} == FINAL
    assert {state for state, mark in states.items() if "dead letter" in mark} == DEAD
    assert sorted(edges) == sorted((source.value, target.value) for source, target in EDGES)
    assert codes(page.rows("Outcome")) == list(AttemptOutcome)
    assert codes(page.rows("State", "Means", section="Receipts")) == list(Receipt.State)


def test_every_command_is_described() -> None:
    page = DOCS["commands"]
    sections = ("That run for ever", "That do one thing")
    described = codes([row[:1] for section in sections for row in page.rows("Command", section=section)])
    ours = {name for name, app in get_commands().items() if app.split(".")[0] in ("sendmsg", "dispatch", "webhooks")}

    # `quickstart` runs before there are settings, so Django doesn't know it.
    assert sorted(described) == sorted(f"manage.py {name}" for name in ours | {"quickstart"})


def test_every_reason_and_every_keyword_of_suppressions_is_described() -> None:
    page = DOCS["suppressions"]

    assert codes(page.rows("`reason`")) == list(SuppressionReason)
    assert codes(page.rows("`keyword`")) == list(Inbound.Keyword)
    known = set().union(*(inbound.opted_out_codes for inbound in INBOUND.values()))
    assert known <= page.words


def test_every_scope_and_every_check_is_described() -> None:
    page = DOCS["commands"]

    assert {codes([row])[0]: row[1] for row in page.rows("Scope")} == {scope.value: scope.label for scope in Scope}
    sources = "".join((ROOT / app / "checks.py").read_text() for app in ("sendmsg", "webhooks"))
    ids = set(re.findall(r'id="(sendmsg\.\w+)"', sources))
    assert {word for word in page.words if re.fullmatch(r"sendmsg\.[EW]\d+", word)} == ids


def test_every_type_of_callback_and_every_try_is_described() -> None:
    page = DOCS["callbacks"]
    units = {"s": "seconds", "min": "minutes", "h": "hours"}

    assert [(codes([row])[0], row[1]) for row in page.rows("Type")] == [(kind.value, kind.label) for kind in Kind]
    waits = [row[1].split() for row in page.rows("Try")]
    assert waits[0] == ["at", "once"]
    assert [timedelta(**{units[unit]: int(number)}) for number, unit in waits[1:]] == list(DELAYS[1:])


def test_every_life_of_the_sandbox_is_in_the_readme() -> None:
    rows = README.rows("Digits")

    assert [(codes([row])[0], row[1]) for row in rows] == [(life.digits, life.meaning) for life in SCENARIOS]


def test_every_provider_has_its_credentials() -> None:
    rows = DOCS["providers"].rows("Provider", "Credentials")

    assert codes(rows) == list(registry.PROVIDERS)
    for row in rows:
        [slug] = codes([row])
        adapter = (ROOT / f"dispatch/providers/{slug}.py").read_text()
        receipts = ROOT / f"webhooks/inbound/{slug}.py"
        source = adapter + receipts.read_text() + (ROOT / "webhooks/inbound/base.py").read_text()
        documented = set(CODE.findall(row[1]))
        assert set(re.findall(r"\bcredential\([\"'](\w+)", adapter)) <= documented
        assert documented <= set(re.findall(r"[\"'](\w+)[\"']", source))
