"""What is sealed opens with both halves of its key, and with nothing less."""

import json
from datetime import date
from uuid import UUID

import pytest

from sendmsg.logs.archive import keys
from sendmsg.logs.archive.keys import Sealer
from sendmsg.logs.models import ArchiveKey, HashKey, RecipientKey

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
ACME, MESSAGE = UUID(int=1), UUID(int=9)
ANN, BEN = "+447700900123", "+447700900124"
TEXT = json.dumps({"to": ANN, "body": "Grüße"})


def seal(number: str = ANN, day: date = date(2020, 1, 5), account: UUID = ACME) -> dict[str, str]:
    sealer = Sealer(account, day)
    sealer.expect([number])
    return sealer.seal(number, MESSAGE, TEXT)


def test_what_was_sealed_opens_again() -> None:
    assert keys.unseal(ACME, seal(), MESSAGE) == json.loads(TEXT)


def test_a_line_says_nothing_of_whose_it_is() -> None:
    line = seal()

    assert set(line) == {"key", "sealed"}
    row = RecipientKey.objects.get()
    assert ANN not in str(row.__dict__)
    assert bytes(row.recipient) == keys.fingerprint(ANN)
    assert bytes(row.recipient).hex() not in str(line)


def test_the_same_twice_looks_different_and_takes_one_key() -> None:
    assert seal()["sealed"] != seal()["sealed"]
    assert RecipientKey.objects.count() == ArchiveKey.objects.count() == 1


def test_a_month_and_an_account_have_keys_of_their_own() -> None:
    seal()
    seal(day=date(2020, 2, 1))
    seal(account=UUID(int=2))

    assert RecipientKey.objects.count() == 2
    assert ArchiveKey.objects.count() == 3


def test_without_the_recipients_key_a_line_is_shut_and_others_are_not() -> None:
    of_ann, later, of_ben = seal(), seal(day=date(2020, 2, 1)), seal(BEN)

    assert keys.destroy(ANN) == 2

    assert [keys.unseal(ACME, line, MESSAGE) for line in (of_ann, later)] == [None, None]
    assert keys.unseal(ACME, of_ben, MESSAGE) is not None
    assert keys.unseal(ACME, seal(), MESSAGE) is not None  # who is written to again has a new key
    assert keys.unseal(ACME, of_ann, MESSAGE) is None


def test_without_the_accounts_key_all_of_the_month_is_shut() -> None:
    lines = [seal(ANN), seal(BEN)]

    ArchiveKey.objects.all().delete()

    assert [keys.unseal(ACME, line, MESSAGE) for line in lines] == [None, None]


def test_a_line_that_was_put_to_another_message_or_changed_does_not_open() -> None:
    line = seal()

    assert keys.unseal(ACME, line, UUID(int=8)) is None
    changed = {**line, "sealed": ("B" if line["sealed"][0] != "B" else "C") + line["sealed"][1:]}
    assert keys.unseal(ACME, changed, MESSAGE) is None


def test_the_database_has_no_key_in_clear() -> None:
    seal()
    from django.db import connections

    with connections["logs"].cursor() as cursor:
        cursor.execute("SELECT key FROM logs_archivekey UNION ALL SELECT key FROM logs_hashkey")
        stored = [row[0] for row in cursor.fetchall()]

    assert len(stored) == 2
    assert all(value.startswith("gAAAA") for value in stored)  # Fernet's version and the time
    assert HashKey.objects.count() == 1
