"""Routes in the admin: what is saved means what it looks like, and what can't work is refused where it stands."""

from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dispatch.models import Connection, Route, RouteStep
from sendmsg.accounts.models import Account
from tests.factories import make_connection, make_route

pytestmark = pytest.mark.django_db
ADD = "admin:dispatch_route_add"
LIST = "admin:dispatch_route_changelist"
FORM = {"name": "UK", "position": "10", "enabled": "on", "destinations": "", "senders": ""}


def steps(*rows: dict[str, str]) -> dict[str, str]:
    """The inline's fields, a position and a weight of their own for those that name none."""
    fields = {"steps-TOTAL_FORMS": str(len(rows)), "steps-INITIAL_FORMS": str(sum("id" in row for row in rows))}
    for number, row in enumerate(rows):
        for name, value in {"position": "1", "weight": "100", **row}.items():
            fields[f"steps-{number}-{name}"] = value
    return fields


def by(connection: Connection, **fields: str) -> dict[str, str]:
    return {"connection": str(connection.pk), **fields}


def save(client: Client, *rows: dict[str, str], **fields: Any) -> Any:
    return client.post(reverse(ADD), {**FORM, **steps(*rows), **fields})


def errors(answer: Any) -> dict[str, list[str]]:
    """Of the route, and of the first step under its name."""
    assert answer.status_code == 200
    formset = answer.context["inline_admin_formsets"][0].formset
    found = dict(answer.context["adminform"].form.errors)
    found |= {f"step.{name}": texts for form in formset.forms for name, texts in form.errors.items()}
    return {**found, "steps": formset.non_form_errors()} if formset.non_form_errors() else found


def test_a_route_is_saved_with_its_steps(admin_client: Client, acme: Account) -> None:
    first, second = make_connection("first"), make_connection("second")

    answer = save(
        admin_client,
        by(first, weight="70"),
        by(second, position="2", channel="sms", sender=" Acme "),
        account=str(acme.pk),
        destinations="gb, +4477 GB",
        senders="Acme\r\n +44 7700 900001 \r\n",
        priorities=["bulk", "high"],
    )

    assert answer.status_code == 302
    route = Route.objects.get()
    assert (route.account, route.destinations, route.senders, route.priorities) == (
        acme,
        "GB +4477",
        "Acme\n+447700900001",
        "high bulk",
    )
    rows = RouteStep.objects.values_list("connection__name", "position", "weight", "channel", "sender")
    assert list(rows) == [("first", 1, 70, "", ""), ("second", 2, 100, "sms", "Acme")]


def test_what_is_saved_is_shown_again(admin_client: Client) -> None:
    route = make_route("UK", make_connection(), destinations="GB", senders="Acme", priorities="high bulk")

    page = admin_client.get(reverse("admin:dispatch_route_change", args=[route.id]))

    form = page.context["adminform"].form
    assert form["priorities"].value() == ["high", "bulk"]
    assert (form["destinations"].value(), form["senders"].value()) == ("GB", "Acme")


@pytest.mark.parametrize(
    ("fields", "place", "text"),
    [
        ({"destinations": "UK"}, "destinations", "UK is no country"),
        ({"destinations": "GB 4477"}, "destinations", "4477 is no prefix"),
        ({"senders": "Acme\n!"}, "senders", "!: A sender is"),
        ({"senders": "Acme", "channel": "whatsapp"}, "senders", "Acme: A whatsapp sender is a number"),
        ({"priorities": ["urgent"]}, "priorities", "Select a valid choice"),
        ({"name": ""}, "name", "This field is required"),
    ],
)
def test_conditions_that_mean_nothing_are_refused(
    admin_client: Client, fields: dict[str, str], place: str, text: str
) -> None:
    found = errors(save(admin_client, by(make_connection()), **fields))

    assert list(found) == [place]
    assert text in found[place][0]
    assert not Route.objects.exists()


def test_a_step_has_to_speak_what_it_is_given(admin_client: Client) -> None:
    sms = make_connection("sms", provider="vonage", credentials={"api_key": "k", "api_secret": "s"})

    found = errors(save(admin_client, by(sms), channel="whatsapp"))
    assert found == {"step.connection": ["vonage does not speak whatsapp, only sms."]}
    found = errors(save(admin_client, by(sms, channel="whatsapp")))
    assert found == {"step.connection": ["vonage does not speak whatsapp, only sms."]}

    assert save(admin_client, by(sms, channel="sms"), channel="whatsapp").status_code == 302


def test_a_step_has_a_sender_that_can_be_one(admin_client: Client) -> None:
    [(place, texts)] = errors(save(admin_client, by(make_connection(), sender="!"))).items()

    assert place == "step.sender"
    assert "A sender is" in texts[0]


def test_a_route_needs_a_step(admin_client: Client) -> None:
    assert errors(save(admin_client)) == {"steps": ["A route needs at least one step."]}

    route = make_route("UK", make_connection())
    [step] = route.steps.all()
    row = by(step.connection, id=str(step.pk), route=str(route.pk), DELETE="on")
    answer = admin_client.post(reverse("admin:dispatch_route_change", args=[route.pk]), {**FORM, **steps(row)})
    assert errors(answer) == {"steps": ["A route needs at least one step."]}


def test_the_list_is_in_the_order_that_counts_and_says_what_each_does(admin_client: Client) -> None:
    first, second = make_connection("first"), make_connection("second")
    make_route("later", first, position=20)
    sooner = make_route("sooner", first, second, position=10, destinations="GB", senders="A\nB", priorities="high")
    RouteStep.objects.create(route=sooner, connection=second, position=1)

    page = admin_client.get(reverse(LIST))

    assert [route.name for route in page.context["cl"].result_list] == ["sooner", "later"]
    assert "to GB; from A, B; priority high" in page.text
    assert "first + second, then second" in page.text


def test_the_order_is_changed_in_the_list(admin_client: Client) -> None:
    routes = [make_route(name, make_connection(), position=number) for number, name in enumerate("ab", 1)]
    fields = {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "2", "_save": "Save"}
    for number, (route, position) in enumerate(zip(routes, (9, 3), strict=True)):
        fields |= {f"form-{number}-id": str(route.pk), f"form-{number}-position": str(position)}
        fields[f"form-{number}-enabled"] = "on"

    assert admin_client.post(reverse(LIST), fields).status_code == 302

    assert list(Route.objects.values_list("name", "position")) == [("b", 3), ("a", 9)]


def test_a_list_takes_as_many_queries_for_many_as_for_one(admin_client: Client, acme: Account) -> None:
    make_route("first", make_connection(), account=acme)
    admin_client.get(reverse(LIST))
    with CaptureQueriesContext(database) as for_one:
        admin_client.get(reverse(LIST))
    for number in range(5):
        make_route(f"more-{number}", make_connection(f"line-{number}"), account=acme)

    with CaptureQueriesContext(database) as for_many:
        admin_client.get(reverse(LIST))

    assert len(for_many) == len(for_one)


def test_credentials_that_can_not_be_read_break_no_page(admin_client: Client) -> None:
    route = make_route("UK", make_connection())
    with database.cursor() as cursor:
        cursor.execute("UPDATE dispatch_connection SET credentials = 'of another key'")

    for url in (reverse(LIST), reverse(ADD), reverse("admin:dispatch_route_change", args=[route.pk])):
        assert admin_client.get(url).status_code == 200
