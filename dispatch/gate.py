"""The last look before a call: what was claimed and may not be sent after all.

Recipients who opted out since the message was accepted, and WhatsApp texts outside the 24-hour window, which leave by
the connection's template where it has one. A question about an earlier try sends nothing and passes. A text that can't
be decrypted is neither sent nor asked about: it waits for the key, until its deadline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from dispatch import suppressions, windows
from dispatch.claims import Held
from dispatch.directory import Entry
from dispatch.providers import registry
from dispatch.providers.base import Template
from dispatch.rows import Facts
from dispatch.suppressions import OPTED_OUT, Person, Wish
from dispatch.verdicts import WINDOW_CLOSED, Blocked, NotSent
from dispatch.vocabulary import Channel
from sendmsg.sealing.fields import UnreadableText
from sendmsg.telemetry import metrics

logger = structlog.stdlib.get_logger(__name__)

Stopped = list[tuple[Held, Blocked | NotSent]]

KEYLESS_AFTER, KEYLESS_MOST = 60.0, 600.0  # seconds until a key is looked for again: the first time, and at most


def look(rows: Mapping[UUID, Facts], held: Sequence[Held], entry: Entry, now: datetime) -> tuple[list[Held], Stopped]:
    """What may be sent, and as what; and what may not, with the reason."""
    leaving = [item for item in held if item.asks_since is None]
    since = suppressions.hold_back(
        [_wish(row, item) for item in leaving if not (row := rows[item.claim.message_id]).exempt]
    )
    chats = {_pair(item) for item in leaving if item.outbound.channel == Channel.WHATSAPP}
    closed = windows.closed(entry.id, chats, now) if chats else set()
    template = _template(entry) if chats else None
    passed: list[Held] = []
    stopped: Stopped = []
    for item in held:
        message_id = item.claim.message_id
        if isinstance(item.outbound.body, UnreadableText):
            about = {"message_id": message_id, "request_id": item.request_id}
            logger.error("text unreadable", **about, locked=item.outbound.body.locked)
            stopped.append((item, _keyless(item)))
        elif item.asks_since is not None:
            passed.append(item)
        elif message_id in since:
            stopped.append((item, Blocked(OPTED_OUT, f"suppressed since {since[message_id]:%Y-%m-%d %H:%M} UTC")))
        elif item.outbound.channel != Channel.WHATSAPP:
            passed.append(item)
        elif _pair(item) not in closed:
            passed.append(replace(item, claim=replace(item.claim, template_left=template is not None)))
        elif template is not None:
            passed.append(replace(item, outbound=replace(item.outbound, template=template)))
        else:
            stopped.append((item, Blocked(WINDOW_CLOSED, "no message from the recipient within 24 hours")))
    for _, why in stopped:
        metrics.BLOCKED.labels(why.code).inc()
    return passed, stopped


def _keyless(item: Held) -> NotSent:
    after = min(KEYLESS_AFTER * 2.0 ** min(item.claim.attempt - 1, 10), KEYLESS_MOST)
    return NotSent("text_unreadable", "the key of its text is missing in a worker", after=after)


def _wish(row: Facts, item: Held) -> Wish[UUID]:
    return Wish(
        message_id=row.id,
        person=Person(row.account_id, row.test, row.to),
        senders=(row.sender, item.outbound.sender),
        channels=(row.channel, item.outbound.channel),
    )


def _pair(item: Held) -> tuple[str, str]:
    return item.outbound.sender, item.outbound.to


def _template(entry: Entry) -> Template | None:
    """The connection's, if it has one and its provider takes any."""
    if not entry.whatsapp_template or not registry.get(entry.provider).capabilities.templates:
        return None
    return Template(entry.whatsapp_template["name"], entry.whatsapp_template["language"])
