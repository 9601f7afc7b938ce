"""From what happened to a callback: exactly if it was committed, once, and only for those who want to hear of it."""

import json
from typing import Any

import pytest
from django.db import transaction

from dispatch import transitions
from dispatch.changes import Change
from dispatch.models import Announcement, Message
from dispatch.states import ANNOUNCED, EDGES, State
from sendmsg.accounts.models import Account
from tests.factories import make_message
from tests.parallel import in_threads
from tests.webhooks.callbacks.driving import deliver, make_endpoint, sent_message
from webhooks.callbacks import endpoints, outbox
from webhooks.callbacks.models import Callback
from webhooks.callbacks.vocabulary import DisabledReason, Kind

pytestmark = pytest.mark.django_db
URL = "https://client.example/hook"


def drain() -> list[Callback]:
    while outbox.spread():
        pass
    assert not Announcement.objects.exists()
    return list(Callback.objects.order_by("happened_at", "id"))


def payloads() -> list[dict[str, Any]]:
    return [json.loads(callback.body) for callback in drain()]


class TestAnnouncing:
    def test_where_nobody_listens_nothing_is_written(self, acme: Account) -> None:
        deliver(sent_message(acme))
        outbox.announce(acme.id, False, Kind.BROADCAST_FINISHED, {"id": "1"})

        assert not Announcement.objects.exists()

    def test_a_rollback_takes_the_announcement_with_the_change(self, acme: Account) -> None:
        make_endpoint(acme, URL)
        message = sent_message(acme)

        with transaction.atomic():
            deliver(message)
            assert Announcement.objects.exists()
            transaction.set_rollback(True)

        assert not Announcement.objects.exists()

    @pytest.mark.parametrize("state", sorted(ANNOUNCED))
    def test_every_state_that_clients_are_told_of_is_announced(self, acme: Account, state: State) -> None:
        make_endpoint(acme, URL)
        source = min(source for source, target in EDGES if target is state)
        message = make_message(acme, source)

        assert transitions.apply([Change(message.id, state)])

        [payload] = payloads()
        assert (payload["type"], payload["data"]["status"]) == (f"message.{state}", state)
        assert Kind(payload["type"])

    def test_what_only_we_care_for_is_not(self, acme: Account) -> None:
        make_endpoint(acme, URL)
        message = make_message(acme)

        for state in (State.RELEASED, State.SENDING, State.QUEUED):
            assert transitions.apply([Change(message.id, state)])

        assert payloads() == []

    def test_a_correction_has_the_higher_number(self, acme: Account) -> None:
        make_endpoint(acme, URL)
        message = make_message(acme, State.SENDING)

        for state in (State.SENT, State.UNDELIVERED, State.DELIVERED):
            transitions.apply([Change(message.id, state, code="" if state is State.DELIVERED else "absent")])

        told = [(one["data"]["sequence"], one["data"]["status"], one["data"]["error"]) for one in payloads()]
        assert [one[:2] for one in told] == [(1, "sent"), (2, "undelivered"), (3, "delivered")]
        assert (told[1][2]["code"], told[2][2]) == ("absent", None), "what it says is what was so at the time"

    def test_a_number_counts_also_what_nobody_listened_to(self, acme: Account) -> None:
        message = make_message(acme, State.SENDING)
        transitions.apply([Change(message.id, State.SENT)])
        make_endpoint(acme, URL)
        deliver(message)

        [payload] = payloads()
        assert payload["data"]["sequence"] == 2

    @pytest.mark.django_db(transaction=True)
    def test_fifty_copies_of_a_change_at_once_are_one_callback(self, acme: Account) -> None:
        make_endpoint(acme, URL)
        message = sent_message(acme)

        in_threads(10, lambda _: [transitions.apply([Change(message.id, State.DELIVERED)]) for _ in range(5)])

        assert len(drain()) == 1


class TestSpreading:
    def test_each_endpoint_that_wants_it_gets_one_under_the_same_id(self, acme: Account) -> None:
        every, some = make_endpoint(acme, URL), make_endpoint(acme, URL, "message.*")
        make_endpoint(acme, URL, "message.failed")
        deliver(sent_message(acme))

        callbacks = drain()

        assert {callback.endpoint_id for callback in callbacks} == {every.id, some.id}
        assert len({callback.event_id for callback in callbacks}) == len({callback.body for callback in callbacks}) == 1

    def test_test_and_live_are_two_worlds(self, acme: Account) -> None:
        live, test = make_endpoint(acme, URL), make_endpoint(acme, URL, test=True)
        one, other = sent_message(acme), sent_message(acme, test=True)
        deliver(one)
        deliver(other)

        assert [(row.endpoint_id, row.message_id) for row in drain()] == [(live.id, one.id), (test.id, other.id)]

    def test_another_accounts_endpoint_hears_nothing(self, acme: Account) -> None:
        make_endpoint(Account.objects.create(name="Globex"), URL)
        make_endpoint(acme, URL)
        deliver(sent_message(Account.objects.get(name="Globex")))

        [callback] = drain()
        assert callback.endpoint.account.name == "Globex"

    def test_other_things_are_told_as_they_are(self, acme: Account) -> None:
        make_endpoint(acme, URL)
        outbox.announce(acme.id, False, Kind.MESSAGE_RECEIVED, {"id": "7", "body": "STOP"})

        [payload] = payloads()
        assert (payload["type"], payload["data"]) == ("message.received", {"id": "7", "body": "STOP"})
        assert payload["timestamp"].endswith("Z")

    def test_a_message_with_a_url_is_told_there_and_to_the_endpoints(self, acme: Account) -> None:
        endpoint = make_endpoint(acme, URL)
        deliver(sent_message(acme, callback_url="https://other.example/cb"))

        assert {(row.endpoint_id == endpoint.id, row.url) for row in drain()} == {
            (True, ""),
            (False, "https://other.example/cb"),
        }

    def test_an_endpoint_that_is_disabled_meanwhile_gets_nothing(self, acme: Account) -> None:
        endpoint = make_endpoint(acme, URL)
        deliver(sent_message(acme))
        endpoints.disable(endpoint, DisabledReason.CLIENT)

        assert drain() == []

    def test_a_message_that_is_gone_is_still_told_of(self, acme: Account) -> None:
        make_endpoint(acme, URL)
        message = sent_message(acme)
        deliver(message)
        Message.objects.filter(pk=message.pk).delete()

        [payload] = payloads()
        assert payload["data"]["status"] == "delivered"

    def test_every_account_has_its_turn(self, acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outbox, "BATCH", 4)
        globex = Account.objects.create(name="Globex")
        make_endpoint(acme, URL)
        make_endpoint(globex, URL)
        for number in range(20):
            outbox.announce(acme.id, False, Kind.MESSAGE_RECEIVED, {"id": str(number)})
        outbox.announce(globex.id, False, Kind.MESSAGE_RECEIVED, {"id": "last"})

        assert outbox.spread() == 3

        told = [json.loads(callback.body)["data"]["id"] for callback in Callback.objects.order_by("id")]
        assert sorted(told) == ["0", "1", "last"]

    @pytest.mark.django_db(transaction=True)
    def test_several_pumps_make_each_callback_once(self, acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outbox, "BATCH", 7)
        make_endpoint(acme, URL)
        messages = [sent_message(acme) for _ in range(60)]
        transitions.apply([Change(message.id, State.DELIVERED) for message in messages])

        def work(_: int) -> None:
            while outbox.spread():
                pass

        in_threads(4, work)

        told = [callback.message_id for callback in drain()]
        assert sorted(map(str, told)) == sorted(str(message.id) for message in messages)

    @pytest.mark.django_db(transaction=True)
    def test_the_first_messages_of_a_host_make_one_endpoint_of_it(
        self, acme: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbox, "BATCH", 1)
        for number in range(8):
            deliver(sent_message(acme, callback_url=f"https://other.example/{number}"))

        in_threads(4, lambda _: [outbox.spread() for _ in range(4)])

        assert len({callback.endpoint_id for callback in drain()}) == 1

    def test_a_failure_midway_leaves_the_announcement(self, acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        make_endpoint(acme, URL)
        deliver(sent_message(acme))
        with monkeypatch.context() as patched:
            patched.setattr(Announcement.objects, "filter", lambda **_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                outbox.spread()

        assert not Callback.objects.exists()
        assert len(drain()) == 1
