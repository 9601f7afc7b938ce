"""Why a message would leave by what it would leave by: the same rules as the relay's, in words."""

import io
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as some

from dispatch import breaker, pacing, routes
from dispatch.breaker import Observed
from dispatch.explain import Explanation, explain, misfits
from dispatch.models import Route, RouteStep
from dispatch.routes import RouteEntry, Subject
from tests.cast import Member
from tests.factories import make_connection, make_route

ROUTE = RouteEntry(1, "r", None, "", (), frozenset(), frozenset(), frozenset(), False, (), False, True)


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


def obstacles(found: Explanation) -> dict[str, str]:
    return {way.connection: way.obstacle for way in found.options}


@given(
    test=some.booleans(),
    channel=some.sampled_from(["", "sms", "whatsapp"]),
    prefixes=some.sampled_from([(), ("+44",), ("+33",)]),
    countries=some.sampled_from([frozenset[str](), frozenset({"GB"}), frozenset({"FR"})]),
    senders=some.sampled_from([frozenset[str](), frozenset({"Acme"}), frozenset({"Other"})]),
    priorities=some.sampled_from([frozenset[int](), frozenset({1}), frozenset({0, 2})]),
)
def test_a_route_misfits_exactly_where_it_does_not_fit(test: bool, **conditions: object) -> None:
    route = replace(ROUTE, **conditions)  # type: ignore[arg-type]

    assert route.fits(subject(test=test)) is (misfits(route, subject(test=test)) == [])


@pytest.mark.django_db
@pytest.mark.usefixtures("clean_redis")
class TestExplaining:
    def test_without_routes_the_likeliest_of_all_connections_is_named(self) -> None:
        make_connection("big", weight=300)
        make_connection("small", weight=100)
        make_connection("sandbox", sandbox=True)

        found = explain(subject())

        assert found.route is None
        assert {way.connection: way.share for way in found.options} == {"big": 0.75, "small": 0.25}
        assert found.reason == "The likeliest of 2 by weight: 75%."
        assert found.to_json()["connection"] == "big"

    def test_earlier_routes_say_what_does_not_hold(self, alice: Member, charlie: Member) -> None:
        line = make_connection()
        make_route("theirs", line, position=1, account=charlie.account, senders="Globex", priorities="high bulk")
        make_route("abroad", line, position=2, destinations="FR +33", channel="whatsapp")
        make_route("nowhere", position=3)
        make_route("home", line, position=4, destinations="GB")
        make_route("late", line, position=5)

        found = explain(subject(account_id=alice.account.id))

        assert found.route == "home"
        assert {one.route: one.because for one in found.skipped} == {
            "theirs": "it is for another account; Acme is not among its senders; it is for priority high and bulk",
            "abroad": "it is for whatsapp; the number, of GB, is not among its destinations",
            "nowhere": "it has no connection for live keys",
        }

    def test_a_later_tier_is_named_when_the_earlier_can_not(self) -> None:
        first, second, spare = (make_connection(name) for name in ("first", "second", "spare"))
        make_route("UK", first, second, spare)
        make_connection("first", enabled=False)
        pacing.pause("second", 60)

        found = explain(subject())

        assert obstacles(found) == {"first": "disabled", "second": "throttled", "spare": ""}
        assert found.chosen is not None
        assert (found.chosen.connection, found.chosen.tier) == ("spare", 3)
        assert found.reason == "Nothing of an earlier tier can take it. The only one of its tier that can take it."

    def test_what_routing_passes_over_says_why(self) -> None:
        sandbox = make_connection("sandbox", sandbox=True)
        deaf = make_connection("deaf", provider="vonage", credentials={"api_key": "a", "api_secret": "b"})
        make_route("UK", sandbox, deaf)

        found = explain(subject(channel="whatsapp"))

        assert obstacles(found) == {"sandbox": "takes messages of test keys", "deaf": "does not speak whatsapp"}
        assert found.reason == "It waits: nothing that it could leave by can take it now."
        assert found.to_json()["connection"] is None

    def test_an_open_breaker_is_an_obstacle_with_its_reason(self) -> None:
        make_connection("line")
        breaker.record("line", [Observed(False, 0.1, code="connection_refused")] * breaker.LEAST)
        breaker.forget()

        assert obstacles(explain(subject())) == {"line": "breaker open: connection_refused, 5 of 5"}

    def test_a_step_may_change_channel_and_sender(self) -> None:
        route = make_route("fallback", make_connection())
        RouteStep.objects.filter(route=route).update(channel="sms", sender="Short")
        routes.forget()

        [way] = explain(subject(channel="whatsapp", sender="+447700900001")).options

        assert (way.channel, way.sender) == ("sms", "Short")

    def test_without_connections_it_waits(self) -> None:
        assert explain(subject()).reason == "It waits: there is no connection for it."

    def test_a_full_connection_is_waited_for(self, settings: Any) -> None:
        settings.BACKLOG_LIMIT = 0
        make_connection("line")

        found = explain(subject())

        assert found.chosen is not None
        assert found.reason == "It waits until there is room: all that could take it are busy."

    def test_weights_of_nothing_leave_the_first(self) -> None:
        make_connection("line", weight=0)

        [way] = explain(subject()).options

        assert (way.chosen, way.share) == (True, 1.0)


@pytest.mark.django_db
@pytest.mark.usefixtures("clean_redis")
class TestCommand:
    def run(self, *arguments: str) -> str:
        output = io.StringIO()
        call_command("route", "explain", *arguments, stdout=output)
        return output.getvalue()

    def test_it_prints_route_options_and_choice(self, alice: Member) -> None:
        line, other = make_connection("line"), make_connection("other")
        make_route("abroad", line, position=1, destinations="FR")
        make_route("Acme", line, other, position=2, account=alice.account)
        Route.objects.create(name="old", enabled=False)

        lines = self.run("+44 7700 900123", "--account", "Acme").splitlines()

        assert lines == [
            "route       Acme",
            "  not       abroad: the number, of GB, is not among its destinations",
            "  not       old: it is switched off",
            "* option    tier 1  line  weight 100 x 1.00  100%",
            "  option    tier 2  other  weight 100 x 1.00  0%",
            "leaves by   line (sendmsg, sms)",
            "because     The only one of its tier that can take it.",
        ]
        assert self.run("+447700900123", "--account", str(alice.account.id)).splitlines() == lines

    def test_its_flags_are_what_routes_look_at(self, alice: Member) -> None:
        line, sandbox = make_connection("line"), make_connection("sandbox", sandbox=True)
        make_route("urgent", line, priorities="high")
        make_route("test", sandbox)
        make_route("whatsapp", line, channel="whatsapp")
        make_route("sender", line, senders="Acme")

        def route(*flags: str) -> str:
            return self.run("+447700900123", *flags).splitlines()[0].split()[1]

        assert route("--priority", "high") == "urgent"
        assert route("--test") == "test"
        assert route("--channel", "whatsapp") == "whatsapp"
        assert route("--from", "Acme") == "sender"
        assert route() == "-"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["07700900123"], "starts with"),
            (["+447700900123", "--from", "!"], "A sender is"),
            (["+447700900123", "--account", "Nobody"], "There is no account"),
        ],
    )
    def test_what_can_not_be_is_refused(self, arguments: list[str], words: str) -> None:
        with pytest.raises(CommandError, match=words):
            self.run(*arguments)
