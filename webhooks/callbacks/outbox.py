"""From announcements to callbacks: one for each endpoint that wants to hear of it.

Promises: a callback exists if what it tells of was committed, and once, whatever is killed when: the announcement is
deleted in the transaction that writes its callbacks. Several processes share the work. Accounts have their turns: a
hundred thousand announcements of one hold up nobody else's.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection as database
from django.db import transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from dispatch.announcements import announce as _announce
from dispatch.models import Announcement, Connection
from sendmsg import destinations
from sendmsg.prepared import Prepared
from sendmsg.sealing.fields import unreadable
from webhooks.callbacks import endpoints, payloads
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.vocabulary import EndpointKind, EndpointState, Kind, wants

logger = structlog.stdlib.get_logger(__name__)

BATCH = 100  # announcements a step; about 30 ms, in which no call is begun

# A loose scan over the index `announcement_account`: one look for each account that has any.
ACCOUNTS = """
WITH RECURSIVE line AS (
    (SELECT account_id FROM dispatch_announcement ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT later.account_id FROM line CROSS JOIN LATERAL (
        SELECT account_id FROM dispatch_announcement WHERE account_id > line.account_id ORDER BY account_id LIMIT 1
    ) later
)
SELECT account_id FROM line
"""
OLDEST = """
SELECT a.* FROM unnest(%(accounts)s::uuid[]) AS line(account_id) CROSS JOIN LATERAL (
    SELECT * FROM dispatch_announcement WHERE account_id = line.account_id
    ORDER BY id LIMIT %(quota)s FOR UPDATE SKIP LOCKED
) a LIMIT %(batch)s
"""
# By arrays, and not by the model: its statement takes three times as long to make as to run.
STORE = Prepared("""
INSERT INTO webhooks_callback (
    id, endpoint_id, event_id, type, message_id, url, body, happened_at, due_at,
    state, attempts, response_body, error_code
)
SELECT c.*, c.happened_at, 'waiting', 0, '', '' FROM unnest(
    %(ids)s::uuid[], %(endpoints)s::uuid[], %(events)s::uuid[], %(types)s::text[], %(messages)s::uuid[],
    %(urls)s::text[], %(bodies)s::text[], %(times)s::timestamptz[]
) AS c(id, endpoint_id, event_id, type, message_id, url, body, happened_at)
""")
_BODY: Final = Callback._meta.get_field("body")  # encrypts


@dataclass(frozen=True, slots=True)
class New:
    """A callback that is still to be stored, and due at once."""

    endpoint_id: UUID
    event_id: UUID
    about: Announcement
    body: str = field(repr=False)
    url: str = ""


def announce(account_id: UUID, test: bool, kind: Kind, data: Mapping[str, Any]) -> None:
    """Tell the account's endpoints of `kind`, inside the caller's transaction. `data` is sent as it is."""
    _announce(account_id, test, kind.value, data)


def spread() -> int:
    """Turn the oldest announcements of each account into callbacks; how many there were."""
    with database.cursor() as cursor:
        cursor.execute(ACCOUNTS)
        accounts: list[UUID] = [row[0] for row in cursor.fetchall()]
    if not accounts:
        return 0
    random.shuffle(accounts)
    quota = ceil(BATCH / len(accounts))
    with transaction.atomic():
        found = Announcement.objects.raw(OLDEST, {"accounts": accounts, "quota": quota, "batch": BATCH})
        rows = _readable(found)
        _store(_callbacks(rows))
        Announcement.objects.filter(id__in=[row.id for row in rows]).delete()
    return len(rows)


def _readable(found: Iterable[Announcement]) -> list[Announcement]:
    """What can't be decrypted waits for its key."""
    rows = list(found)
    readable = [row for row in rows if unreadable(row.data) is None]
    if len(readable) < len(rows):
        logger.error("announcements unreadable", count=len(rows) - len(readable))
    return readable


def _store(made: Sequence[New]) -> None:
    if not made:
        return
    columns = {
        "ids": [str(uuid7()) for _ in made],
        "endpoints": [str(one.endpoint_id) for one in made],
        "events": [str(one.event_id) for one in made],
        "types": [one.about.type for one in made],
        "messages": [str(one.about.message_id) if one.about.message_id else None for one in made],
        "urls": [one.url for one in made],
        "bodies": [_BODY.get_db_prep_save(one.body, database) for one in made],
        "times": [one.about.at for one in made],
    }
    with database.cursor() as cursor:
        STORE.run(cursor, columns)


def _callbacks(rows: Sequence[Announcement]) -> list[New]:
    listening = _listening({row.account_id for row in rows})
    messages = {one.id: one for one in payloads.originals({row.message_id for row in rows if row.message_id})}
    providers = dict(Connection.objects.values_list("id", "provider"))
    # In order: two processes that make endpoints of the same hosts must not wait for each other crosswise.
    hosts = sorted({_host(row) for row in rows if row.url})
    named = {host: endpoints.of_message(*host) for host in hosts}
    made: list[New] = []
    for row in rows:
        told = [one for one in listening.get((row.account_id, row.test), ()) if wants(one.event_types, row.type)]
        targets = [(endpoint, "") for endpoint in told]
        if row.url and named[_host(row)].state == EndpointState.ENABLED:
            targets.append((named[_host(row)], row.url))
        if not targets:
            continue
        data = row.data
        if row.message_id is not None:
            data = payloads.of_message(row, messages.get(row.message_id), providers)
        body, event_id = _body(row, data), uuid7()
        made += [New(endpoint.id, event_id, row, body, url) for endpoint, url in targets]
    return made


def test(endpoint: Endpoint) -> Callback:
    """Tell this endpoint something that did not happen, so that its owner can see it arrive."""
    about = Announcement(type=Kind.WEBHOOK_TEST.value, data={"id": str(endpoint.id)}, at=timezone.now())
    event_id = uuid7()
    _store([New(endpoint.id, event_id, about, _body(about, about.data))])
    return Callback.objects.get(event_id=event_id, endpoint=endpoint)


def _host(about: Announcement) -> tuple[UUID, bool, str]:
    return about.account_id, about.test, destinations.origin(about.url)


def _body(about: Announcement, data: Mapping[str, Any]) -> str:
    return json.dumps(payloads.envelope(about.type, about.at, data), ensure_ascii=False, separators=(",", ":"))


def _listening(account_ids: set[UUID]) -> dict[tuple[UUID, bool], list[Endpoint]]:
    found: dict[tuple[UUID, bool], list[Endpoint]] = {}
    rows = Endpoint.objects.filter(
        account_id__in=account_ids, kind=EndpointKind.DECLARED, state=EndpointState.ENABLED
    ).defer("secret", "old_secrets")
    for row in rows:
        found.setdefault((row.account_id, row.test), []).append(row)
    return found
