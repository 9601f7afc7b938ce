"""What the journal says of messages."""

from typing import Any

from dispatch.models import Message
from sendmsg.journal.models import JournalEntry


def events(message: Message | None = None) -> list[dict[str, Any]]:
    """The events of one message, or of all, in the order in which they were written."""
    written = [event for entry in JournalEntry.objects.order_by("id") for event in entry.events]
    return [event for event in written if message is None or event["message"] == str(message.id)]


def kinds(message: Message) -> list[str]:
    return [event["type"] for event in events(message)]
