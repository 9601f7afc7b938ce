"""A broadcast of twenty thousand delays nobody else's message: what is urgent goes first, and its peers take turns."""

from datetime import timedelta

import pytest
from django.db import connection as database
from django.utils import timezone

from dispatch import directory
from dispatch.models import Message
from dispatch.relay import release
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db
WAITING = 20_000

FILL = """
INSERT INTO dispatch_message (
    id, account_id, test, lane, channel, "to", sender, body, segments, encoding, priority, client_reference, metadata,
    state, release, tries, in_doubt, error_code, error_detail, due_at, expires_at, created_at, updated_at
)
SELECT gen_random_uuid(), account_id, test, lane, channel, "to", sender, body, segments, encoding, priority,
    client_reference, metadata, state, release, tries, in_doubt, error_code, error_detail,
    due_at + n * interval '1 microsecond', expires_at, created_at, updated_at
FROM dispatch_message CROSS JOIN generate_series(1, %s) AS n WHERE id = %s
"""


@pytest.fixture
def flood(acme: Account) -> Message:
    """Acme's broadcast: its first message, with the others behind it, all due for an hour."""
    make_connection(concurrency=100)
    past = timezone.now() - timedelta(hours=1)
    first = make_message(acme, priority=2, due_at=past)
    with database.cursor() as cursor:
        cursor.execute(FILL, [WAITING - 1, str(first.id)])
    return first


def round_of(limit: int) -> list[str]:
    """The ids that one round releases, in the order of the tasks."""
    tasks = release(directory.entries(), limit)
    return [str(message_id) for _, references in tasks for message_id, _ in references]


def test_anothers_urgent_message_goes_first(flood: Message, charlie: Member) -> None:
    urgent = make_message(charlie.account, priority=0)

    assert round_of(100)[0] == str(urgent.id)
    assert Message.objects.filter(state=State.RELEASED).count() == 100


def test_anothers_message_of_the_same_priority_leaves_in_the_first_round(flood: Message, charlie: Member) -> None:
    peer = make_message(charlie.account, priority=2)

    assert str(peer.id) in round_of(10)[:2]


def test_the_accounts_own_urgent_message_goes_first_too(flood: Message) -> None:
    urgent = make_message(flood.account, priority=0)

    assert round_of(10)[0] == str(urgent.id)


def test_many_accounts_take_turns_with_the_flood(flood: Message, charlie: Member) -> None:
    others = [Account.objects.create(name=f"Account {number}") for number in range(9)]
    theirs = {str(make_message(account, priority=2).id) for account in others}

    assert theirs <= set(round_of(50))
