"""The first route that fits decides; the database's last word counts while it is away."""

import time
from uuid import uuid4

import pytest
from django.db import connection as database

from dispatch import routes
from dispatch.lanes import DEFAULT
from dispatch.models import Route, RouteStep
from dispatch.routes import Subject, country_of
from tests.cast import Member
from tests.factories import make_connection, make_route

pytestmark = pytest.mark.django_db


def subject(**fields: object) -> Subject:
    plain = {
        "account_id": uuid4(),
        "test": False,
        "channel": "sms",
        "to": "+447700900000",
        "sender": "Acme",
        "priority": 1,
    }
    return Subject(**{**plain, **fields})  # type: ignore[arg-type]


def test_without_routes_every_message_is_in_the_default_lane() -> None:
    assert routes.book().lane(subject()).route == DEFAULT


@pytest.mark.parametrize(
    ("conditions", "fits", "fails"),
    [
        ({}, {}, {"test": True}),
        ({"channel": "whatsapp"}, {"channel": "whatsapp"}, {"channel": "sms"}),
        ({"destinations": "+4477 +33"}, {"to": "+33123456789"}, {"to": "+442079460000"}),
        ({"destinations": "gb"}, {"to": "+447700900000"}, {"to": "+33123456789"}),
        ({"destinations": "CA"}, {"to": "+14165550100"}, {"to": "+12125550100"}),
        ({"senders": "Acme\n+447700900123"}, {"sender": "+447700900123"}, {"sender": "Globex"}),
        ({"priorities": "high"}, {"priority": 0}, {"priority": 1}),
        ({"destinations": "+44", "priorities": "high"}, {"priority": 0}, {"priority": 0, "to": "+33123456789"}),
    ],
)
def test_a_route_decides_over_what_all_its_conditions_hold_for(
    conditions: dict[str, str], fits: dict[str, object], fails: dict[str, object]
) -> None:
    route = make_route("UK", make_connection(), **conditions)

    assert routes.book().lane(subject(**fits)).route == route.id
    assert routes.book().lane(subject(**fails)).route == DEFAULT


def test_a_route_of_one_account_is_nothing_to_others(alice: Member) -> None:
    route = make_route("Acme", make_connection(), account=alice.account)

    assert routes.book().lane(subject(account_id=alice.account.id)).route == route.id
    assert routes.book().lane(subject()).route == DEFAULT


def test_the_first_by_position_wins_and_one_that_is_off_never() -> None:
    connection = make_connection()
    make_route("off", connection, position=1, enabled=False)
    second = make_route("second", connection, position=20)
    first = make_route("first", connection, position=10)

    assert [route.id for route in routes.book().routes] == [first.id, second.id]
    assert routes.book().lane(subject()).route == first.id


def test_a_route_to_sandboxes_decides_over_test_messages_only() -> None:
    route = make_route("test", make_connection("sandbox", sandbox=True))

    assert routes.book().lane(subject(test=True)).route == route.id
    assert routes.book().lane(subject()).route == DEFAULT


def test_connections_whose_credentials_cant_be_read_break_no_route() -> None:
    connection = make_connection()
    with database.cursor() as cursor:
        cursor.execute("UPDATE dispatch_connection SET credentials = 'gAAAA'")
    Route.objects.create(name="UK")
    RouteStep.objects.create(route=Route.objects.get(), connection_id=connection.pk)
    routes.forget()

    assert [route.name for route in routes.book().routes] == ["UK"]


@pytest.mark.django_db(transaction=True)
def test_the_last_book_goes_on_serving_while_the_database_is_away() -> None:
    make_route("UK", make_connection())
    known = routes.book()
    with database.cursor() as cursor:
        cursor.execute("ALTER TABLE dispatch_route RENAME TO dispatch_route_away")
    try:
        routes.forget()
        routes._read_at = time.monotonic() - routes.KEPT - 1
        assert routes.book() == known
    finally:
        with database.cursor() as cursor:
            cursor.execute("ALTER TABLE dispatch_route_away RENAME TO dispatch_route")


@pytest.mark.parametrize(
    ("number", "country"),
    [("+447700900000", "GB"), ("+14165550100", "CA"), ("+33123456789", "FR"), ("+999", ""), ("nonsense", "")],
)
def test_a_number_has_the_country_of_its_digits(number: str, country: str) -> None:
    assert country_of(number) == country
