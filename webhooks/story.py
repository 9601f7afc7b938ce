"""What receipts and callbacks add to the story of a message, for its page in the admin."""

from collections.abc import Iterable
from typing import Final

from django.urls import reverse

from dispatch.admin.story import BAD, DOUBTFUL, GOOD, ON_ITS_WAY, Moment
from dispatch.models import Message
from dispatch.vocabulary import ReceiptStatus
from webhooks.callbacks.models import Callback
from webhooks.callbacks.vocabulary import CallbackState
from webhooks.models import Receipt

MOST: Final = 50  # of a kind; a message has a few
STATUSES: Final = {
    ReceiptStatus.SENT: ON_ITS_WAY,
    ReceiptStatus.DELIVERED: GOOD,
    ReceiptStatus.UNDELIVERED: BAD,
}


def receipts(message: Message) -> Iterable[Moment]:
    rows = Receipt.objects.filter(message=message).select_related("connection").defer("connection__credentials")
    for row in rows.order_by("-id")[:MOST]:
        about = ", ".join(fact for fact in (str(row.connection), row.error_code, row.get_state_display()) if fact)
        page = reverse("admin:webhooks_receipt_change", args=[row.pk])
        yield Moment(
            row.received_at, f"Receipt: {row.status}", STATUSES.get(ReceiptStatus(row.status), DOUBTFUL), about, page
        )


def callbacks(message: Message) -> Iterable[Moment]:
    rows = Callback.objects.filter(message_id=message.id).defer("body", "response_body")
    for row in rows.order_by("-id")[:MOST]:
        page = reverse("admin:webhooks_callback_change", args=[row.pk])
        tries = f"{row.attempts} tr{'y' if row.attempts == 1 else 'ies'}"
        if row.attempted_at is None:
            yield Moment(row.created_at, f"Callback {row.type} is due", ON_ITS_WAY, "", page)
            continue
        answer = f"HTTP {row.response_status}" if row.response_status else row.error_code
        colour = (
            GOOD if row.state == CallbackState.DELIVERED else BAD if row.state == CallbackState.FAILED else DOUBTFUL
        )
        what = f"Callback {row.type}: {row.get_state_display()}"
        yield Moment(row.attempted_at, what, colour, ", ".join(fact for fact in (answer, tries) if fact), page)
