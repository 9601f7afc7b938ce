"""What people write to us is stored once, whole, and belongs to whose number it came to."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch import directory
from dispatch.models import Connection
from dispatch.vocabulary import Channel
from sendmsg.accounts.models import Account
from sendmsg.sealing import keys
from tests.factories import make_connection, make_number
from tests.parallel import in_threads
from tests.stored import lock_keys, lose_keys
from tests.webhooks.provider import deliver, report
from webhooks.inbound import messages
from webhooks.inbound.base import InboundMessage, Media, Part
from webhooks.inbound.receipts import ReceiptsPump
from webhooks.models import Inbound, InboundPart, Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]
OURS, THEIRS = "+447700900001", "+447700900123"


def message(provider_id: str = "rcv_1", body: str = "Yes", **fields: Any) -> InboundMessage:
    return InboundMessage(
        **{
            "provider_id": provider_id,
            "sender": THEIRS,
            "to": OURS,
            "body": body,
            "channel": Channel.SMS,
            "received_at": timezone.now(),
            **fields,
        }
    )


def part(number: int, total: int = 3, reference: str = "7", **fields: Any) -> InboundMessage:
    return message(f"part_{reference}_{number}", f"<{number}>", part=Part(reference, number, total), **fields)


def take(*received: InboundMessage, connection: str = "sendmsg") -> None:
    """Stored, and put together as at the next step of the pump."""
    with transaction.atomic():
        messages.store([(directory.entries()[connection], one) for one in received])
    join()


def join(later: timedelta = timedelta()) -> None:
    with transaction.atomic():
        messages.assemble(timezone.now() + later)


def bodies() -> list[str]:
    return list(Inbound.objects.order_by("id").values_list("body", flat=True))


def count(owned: str) -> float:
    labels = {"connection": "sendmsg", "owned": owned}
    return REGISTRY.get_sample_value("sendmsg_inbound_messages_total", labels) or 0.0


def test_a_message_goes_from_the_providers_request_to_its_account(acme: Account, line: Connection) -> None:
    make_number(line, acme)
    body = report("rcv_1", type="message", to=OURS, body="Yes é 🎉", **{"from": THEIRS})

    assert deliver(body).status_code == 200
    ReceiptsPump().step()

    stored = Inbound.objects.get()
    assert (stored.account, stored.provider_id, stored.sender, stored.to) == (acme, "rcv_1", THEIRS, OURS)
    assert (stored.body, stored.channel, stored.test) == ("Yes é 🎉", "sms", False)
    assert Receipt.objects.count() == 0


def test_a_message_to_a_number_that_is_nobodys_is_stored_all_the_same(acme: Account, line: Connection) -> None:
    before = count("no")
    make_number(line, acme, "+447700900002")
    make_number(make_connection("other"), acme, OURS)

    take(message())

    assert Inbound.objects.get().account is None
    assert count("no") == before + 1


def test_the_same_message_again_is_dropped(acme: Account, line: Connection) -> None:
    make_number(line, acme)
    before = count("yes")
    take(message(), message())
    take(message(body="changed"), message("rcv_2", "No"))

    assert (bodies(), count("yes")) == (["Yes", "No"], before + 2)


def test_two_connections_may_have_the_same_id(line: Connection) -> None:
    make_connection("other")

    take(message())
    take(message(), connection="other")

    assert Inbound.objects.count() == 2


def test_a_message_of_a_sandbox_is_a_test(line: Connection) -> None:
    make_connection(sandbox=True)

    take(message(media=(Media("https://media.example/1", "image/png"),)))

    stored = Inbound.objects.get()
    assert (stored.test, stored.media) == (
        True,
        [{"reference": "https://media.example/1", "content_type": "image/png"}],
    )


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_parts_become_one_text_in_any_order(acme: Account, line: Connection, order: tuple[int, ...]) -> None:
    make_number(line, acme)
    for number in order:
        assert bodies() == []
        take(part(number))

    stored = Inbound.objects.get()
    assert (stored.body, stored.account, stored.provider_id) == ("<1><2><3>", acme, "part_7_1")
    assert set(InboundPart.objects.values_list("whole", flat=True)) == {stored.id}


def test_a_part_that_comes_again_changes_nothing(line: Connection) -> None:
    take(part(1), part(1), part(2))
    take(part(1))
    take(part(3))
    take(part(2), part(3))
    join(messages.PARTS_WAIT * 2)

    assert bodies() == ["<1><2><3>"]


@pytest.mark.parametrize(
    "other",
    [{"sender": "+447700900124"}, {"to": "+447700900002"}, {"part": Part("8", 2, 2)}, {"part": Part("7", 2, 4)}],
)
def test_parts_of_different_texts_stay_apart(line: Connection, other: dict[str, Any]) -> None:
    take(part(1, 2), message("stranger", "x", **{"part": Part("7", 2, 2), **other}))

    assert bodies() == []


def test_a_reference_that_comes_round_again_begins_another_text(line: Connection) -> None:
    take(part(1, 2), part(2, 2))
    take(message("a", "<a>", part=Part("7", 1, 2)), message("b", "<b>", part=Part("7", 2, 2)))

    assert bodies() == ["<1><2>", "<a><b>"]


def test_half_a_text_is_stored_when_the_rest_does_not_come(line: Connection) -> None:
    take(part(2), part(3))
    join(messages.PARTS_WAIT - timedelta(minutes=1))
    assert bodies() == []

    join(messages.PARTS_WAIT + timedelta(minutes=1))

    assert bodies() == [f"{messages.MISSING}<2><3>"]


def test_parts_are_kept_until_no_copy_of_them_can_come(line: Connection) -> None:
    take(part(1, 2), part(2, 2))
    InboundPart.objects.update(created_at=timezone.now() - messages.PARTS_KEPT - timedelta(minutes=1))

    take(part(1, 2, "8"), part(2, 2, "8"))

    assert set(InboundPart.objects.values_list("reference", flat=True)) == {"8"}
    assert bodies() == ["<1><2>", "<1><2>"]


@pytest.mark.django_db(transaction=True)
def test_pumps_side_by_side_make_one_text_of_its_parts(acme: Account, line: Connection) -> None:
    make_number(line, acme)
    parts = [part(number, 8, str(text)) for text in range(5) for number in range(1, 9)]
    directory.entries()

    def work(number: int) -> None:
        for one in (parts[number::4] + parts)[:60]:
            take(one)

    in_threads(4, work)
    join()

    assert bodies() == ["<1><2><3><4><5><6><7><8>"] * 5


@pytest.mark.django_db(transaction=True)
def test_what_another_pump_holds_is_left_to_it(line: Connection) -> None:
    take(part(1), part(2))
    with transaction.atomic():
        held = InboundPart.objects.select_for_update().first()
        assert held is not None
        in_threads(1, lambda number: join(messages.PARTS_WAIT * 2))
        assert bodies() == []

    join(messages.PARTS_WAIT * 2)

    assert bodies() == [f"<1><2>{messages.MISSING}"]


def test_the_reference_of_ours_that_a_receipt_gives_back_is_kept_with_it(line: Connection) -> None:
    from tests.fixtures import raw
    from webhooks.inbound import buffer
    from webhooks.inbound.base import Payload

    make_connection("infobip", provider="infobip")
    buffer.append("infobip", Payload(raw("infobip/receipt_delivered.json"), timezone.now()))

    ReceiptsPump().step()

    assert str(Receipt.objects.get().echoed_id) == "01a208a8-1d08-7252-90a9-79f874e03b3f"


def test_parts_wait_for_a_process_that_has_their_key(line: Connection) -> None:
    take(part(1), part(2))
    lock_keys()
    keys.make()
    keys.forget()

    take(part(3))

    assert bodies() == []
    assert InboundPart.objects.filter(whole=None).count() == 3


def test_a_part_whose_key_is_gone_for_good_is_a_missing_one(line: Connection) -> None:
    take(part(1), part(2))
    lose_keys()
    keys.make()
    keys.forget()

    take(part(3))

    assert bodies() == [f"{messages.MISSING}{messages.MISSING}<3>"]
