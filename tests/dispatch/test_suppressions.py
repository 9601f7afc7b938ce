"""Who opted out is not written to: not accepted, and not sent if it was accepted before."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import attempts, directory, suppressions
from dispatch.attempts import Settlement
from dispatch.bulk import broadcasts
from dispatch.models import Attempt, DeadLetter, Message, Suppression
from dispatch.providers.base import Accepted, Rejected
from dispatch.states import State
from dispatch.suppressions import Person
from dispatch.verdicts import Ending
from sendmsg.accounts.models import Account
from tests.cast import Member
from tests.dispatch.rounds import TELNYX, connected, refuses, takes, tries, turn
from tests.factories import make_connection, make_message, make_route, make_suppression
from tests.parallel import in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
TO, OTHER = "+447700900000", "+447700900001"


def check(account: Account, sender: str = "Acme", channel: str = "sms", test: bool = False) -> set[str]:
    return suppressions.check(account.id, {TO, OTHER}, sender, channel, test=test)


def claim(*messages: Message) -> list[Any]:
    directory.forget()
    return attempts.claim([(message.id, message.release) for message in messages], directory.entries()["sendmsg"])


def waiting(account: Account, **fields: Any) -> Message:
    return make_message(account, state=State.RELEASED, release=1, **{"connection": make_connection(), **fields})


def errors_of(answer: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


def test_those_who_opted_out_are_found_among_many(acme: Account) -> None:
    make_suppression(acme, TO)

    assert check(acme) == {TO}


@pytest.mark.parametrize(
    ("fields", "asked", "held_back"),
    [
        ({}, {"sender": "+15005550006", "channel": "whatsapp"}, True),
        ({"sender": "Acme"}, {}, True),
        ({"sender": "Acme"}, {"sender": "Other"}, False),
        ({"sender": "Acme"}, {"sender": ""}, False),
        ({"channel": "sms"}, {}, True),
        ({"channel": "sms"}, {"channel": "whatsapp"}, False),
        ({"test": True}, {}, False),
        ({"test": True}, {"test": True}, True),
    ],
)
def test_a_suppression_holds_back_what_it_is_about(
    acme: Account, fields: dict[str, Any], asked: dict[str, Any], held_back: bool
) -> None:
    make_suppression(acme, TO, **fields)

    assert check(acme, **asked) == ({TO} if held_back else set())


def test_another_accounts_suppressions_are_its_own(alice: Member, charlie: Member) -> None:
    make_suppression(alice.account, TO)

    assert check(charlie.account) == set()


def test_a_message_to_somebody_who_opted_out_is_refused(client: Client, alice: Member) -> None:
    make_suppression(alice.account, TO)
    wanted = {"to": TO, "body": "hello"}

    for path in ("/v1/messages", "/v1/messages?dry_run=true"):
        answer = client.post(path, wanted, content_type="application/json", headers=alice.headers)
        assert (answer.status_code, errors_of(answer)) == (400, [("/to", "recipient_opted_out")])
    assert Message.objects.count() == 0

    others = {**wanted, "to": OTHER}
    assert (
        client.post("/v1/messages", others, content_type="application/json", headers=alice.headers).status_code == 202
    )
    answer = client.post("/v1/messages", wanted, content_type="application/json", headers=alice.test_headers)
    assert answer.status_code == 202


def test_of_a_batch_those_who_opted_out_are_refused(client: Client, alice: Member) -> None:
    make_suppression(alice.account, TO, sender="Acme")
    messages = [{"to": TO, "body": "a", "from": sender} for sender in ("Acme", "Other")]

    answer = client.post(
        "/v1/messages/batch", {"messages": messages}, content_type="application/json", headers=alice.headers
    ).json()

    refused, accepted = answer["results"]
    assert accepted["status"] == "accepted"
    assert [(one["pointer"], one["code"]) for one in refused["errors"]] == [("/messages/0/to", "recipient_opted_out")]
    assert Message.objects.get().sender == "Other"


def test_of_a_broadcast_those_who_opted_out_are_left_out(
    client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasts, "LOOK", 2)
    numbers = [f"+4477009002{number:02}" for number in range(5)]
    for number in (numbers[1], numbers[4]):
        make_suppression(alice.account, number)

    answer = client.post(
        "/v1/broadcasts", {"body": "a", "recipients": numbers}, content_type="application/json", headers=alice.headers
    ).json()

    assert (answer["recipients"], answer["rejected"]) == (3, 2)
    assert [one["code"] for one in answer["rejections"]] == ["recipient_opted_out"] * 2
    assert set(Message.objects.values_list("to", flat=True)) == {numbers[0], numbers[2], numbers[3]}


def test_a_message_that_was_accepted_before_is_not_sent(acme: Account) -> None:
    stopped, wanted = waiting(acme, to=TO), waiting(acme, to=OTHER)
    make_suppression(acme, TO)

    [held] = claim(stopped, wanted)

    stopped.refresh_from_db()
    attempt = Attempt.objects.get(message=stopped)
    assert held.claim.message_id == wanted.id
    assert (stopped.state, stopped.error_code, stopped.tries) == (State.FAILED, "opted_out", 1)
    assert (attempt.outcome, attempt.code) == ("blocked", "opted_out")
    assert attempt.detail.startswith("suppressed since 20")
    assert attempt.finished_at is not None
    assert DeadLetter.objects.get().message_id == stopped.id


@pytest.mark.django_db(transaction=True)
def test_no_provider_hears_of_it(alice: Member) -> None:
    with connected(main=(TELNYX, takes)) as servers:
        message = make_message(alice.account, to=TO)
        make_suppression(alice.account, TO)

        turn()

        assert servers["main"].requests == []
        assert tries(message) == [("main", "blocked")]


@pytest.mark.django_db(transaction=True)
def test_no_other_way_is_tried(alice: Member) -> None:
    with connected(main=(TELNYX, takes), spare=(TELNYX, takes)) as servers:
        make_message(alice.account, to=TO)
        make_suppression(alice.account, TO)

        assert (turn(), turn()) == (1, 0)
        assert [server.requests for server in servers.values()] == [[], []]


def test_the_sender_that_a_route_puts_in_counts_beside_the_messages_own(acme: Account) -> None:
    line = make_connection()
    step = make_route("all", line).steps.get()
    step.sender = "+15005550006"
    step.save()
    for sender in ("Acme", "+15005550006"):
        message = make_message(acme, state=State.RELEASED, release=1, to=TO, connection=line, option=step.id)
        Message.objects.filter(id=message.id).update(lane=_lane(message))
        row = make_suppression(acme, TO, sender=sender)

        assert claim(message) == [], sender
        row.delete()


def _lane(message: Message) -> int:
    from dispatch import routes
    from dispatch.rematch import subject_of

    routes.forget()
    return routes.book().lane(subject_of(message)).number


def test_an_exempt_message_is_sent_all_the_same(acme: Account) -> None:
    make_suppression(acme, TO)

    assert len(claim(waiting(acme, to=TO, exempt=True))) == 1


def test_what_may_have_been_sent_before_is_unknown_and_not_failed(acme: Account) -> None:
    message = waiting(acme, to=TO, in_doubt=True)  # `sendmsg` recognises repeats, so it would be sent again
    make_suppression(acme, TO)

    assert claim(message) == []
    message.refresh_from_db()
    assert (message.state, message.in_doubt) == (State.UNKNOWN, True)


def test_looking_takes_as_many_queries_for_many_as_for_one(acme: Account) -> None:
    def queries(first: int, end: int) -> int:
        messages = [waiting(acme, to=f"+4477009001{number:02}") for number in range(first, end)]
        with CaptureQueriesContext(database) as captured:
            claim(*messages)
        return len(captured)

    make_suppression(acme, OTHER)
    queries(0, 1)  # plans them
    assert queries(1, 21) == queries(21, 22)


def test_a_provider_that_blocks_a_person_is_remembered(acme: Account) -> None:
    message = waiting(acme, to=TO, sender="+15005550006")
    [held] = claim(message)

    attempts.settle([Settlement(held.claim, Rejected("opted_out", "HTTP 400 21610"), timezone.now())])

    row = Suppression.objects.get()
    assert (row.account, row.recipient, row.sender, row.channel, row.test) == (acme, TO, "+15005550006", "sms", False)
    assert (row.reason, row.detail) == ("provider", "HTTP 400 21610")


def test_other_endings_suppress_nobody(acme: Account) -> None:
    messages = [waiting(acme, to=TO), waiting(acme, to=OTHER)]
    held = claim(*messages)
    endings: list[Ending] = [Rejected("invalid_recipient", ""), Accepted(("snd_1",))]

    attempts.settle(
        [Settlement(item.claim, ending, timezone.now()) for item, ending in zip(held, endings, strict=True)]
    )

    assert Suppression.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_what_a_provider_blocks_is_refused_at_the_next_message(client: Client, alice: Member) -> None:
    with connected(main=(TELNYX, refuses("40300", 403))):
        make_message(alice.account, to=TO, sender="+15005550006")
        turn()
        wanted = {"to": TO, "body": "hello", "from": "+15005550006"}

        answer = client.post("/v1/messages", wanted, content_type="application/json", headers=alice.headers)

    assert errors_of(answer) == [("/to", "recipient_opted_out")]


def test_the_same_suppression_again_changes_nothing(acme: Account) -> None:
    first = make_suppression(acme, TO, reason="operator")

    added = suppressions.add(
        [
            Suppression(account=acme, recipient=TO, reason="api"),
            Suppression(account=acme, recipient=OTHER, reason="api"),
        ]
    )

    assert len(added) == 1
    assert Suppression.objects.get(recipient=TO).id == first.id
    assert Suppression.objects.get(recipient=TO).reason == "operator"


def test_a_person_is_owed_one_confirmation_a_day(acme: Account) -> None:
    person, now = Person(acme.id, False, TO), timezone.now()

    owed = [suppressions.opt_out(person, "", "stop", now + timedelta(hours=hours)) for hours in (0, 1, 23, 25, 26)]

    assert owed == [True, False, False, True, False]
    assert Suppression.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_told(acme: Account) -> None:
    told: list[bool] = []

    def work(number: int) -> None:
        with transaction.atomic():
            told.append(suppressions.opt_out(Person(acme.id, False, TO), "", "stop", timezone.now()))

    in_threads(6, work)

    assert sorted(told) == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("reason", "sender", "lifted"),
    [
        ("keyword", "", True),
        ("keyword", "+15005550006", True),
        ("keyword", "+15005550007", False),
        ("provider", "+15005550006", True),
        ("api", "", False),
        ("operator", "", False),
    ],
)
def test_start_lifts_what_the_person_asked_for(acme: Account, reason: str, sender: str, lifted: bool) -> None:
    make_suppression(acme, TO, reason=reason, sender=sender)

    assert suppressions.opt_in(Person(acme.id, False, TO), "+15005550006") == lifted
    assert Suppression.objects.exists() != lifted


def test_start_promises_nothing_while_a_client_holds_messages_back(acme: Account) -> None:
    make_suppression(acme, TO, reason="keyword")
    make_suppression(acme, TO, reason="api", channel="sms")

    assert not suppressions.opt_in(Person(acme.id, False, TO), "+15005550006")
    assert Suppression.objects.get().reason == "api"
