"""The ledger: one id a key, and bounded memory."""

from sendmsg.sandbox.ledger import Ledger


def test_it_forgets_the_oldest_key_and_keeps_the_totals() -> None:
    ledger = Ledger(limit=2)
    ids = [ledger.send(ledger.entry(key, "+447700900000")) for key in ("a", "b", "c")]

    assert ledger.keys() == ["b", "c"]
    assert [ledger.find(message_id) is not None for message_id in ids] == [False, True, True]
    assert ledger.sends == 3


def test_a_late_sent_does_not_undo_delivered() -> None:
    entry = Ledger().entry("a", "+447700900000")

    entry.move("delivered", None)
    entry.move("sent", None)

    assert entry.status == "delivered"
