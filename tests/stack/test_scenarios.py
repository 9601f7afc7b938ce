"""Every life that the sandbox plays, through the whole gateway."""

import pytest

from tests.stack.stack import Stack

NUMBER = "+4477009009{}"


@pytest.mark.parametrize("scenario", ["00", "01", "02", "03", "04", "07", "08", "10"])
def test_a_message_that_can_be_delivered_is_delivered_after_one_send(stack: Stack, scenario: str) -> None:
    message_id = stack.send(NUMBER.format(scenario))

    assert stack.finished(message_id)["status"] == "delivered"
    assert stack.received()[message_id]["sends"] == 1


def test_a_refused_message_fails_for_good_and_leaves_a_dead_letter(stack: Stack) -> None:
    message_id = stack.send(NUMBER.format("05"))

    message = stack.finished(message_id)

    assert (message["status"], message["error"]["code"]) == ("failed", "invalid_recipient")
    assert stack.sql("SELECT reason FROM dispatch_deadletter WHERE message_id = %s", message_id) == [
        ("invalid_recipient",)
    ]
    tries = "SELECT count(*) FROM dispatch_attempt WHERE message_id = %s AND outcome <> 'not_sent'"
    assert stack.sql(tries, message_id) == [(1,)]


def test_a_message_that_did_not_arrive_says_why(stack: Stack) -> None:
    message = stack.finished(stack.send(NUMBER.format("06")))

    assert (message["status"], message["error"]["code"]) == ("undelivered", "absent_subscriber")


def test_a_throttled_message_is_not_repeated_before_the_provider_said(stack: Stack) -> None:
    message_id = stack.send(NUMBER.format("08"))
    stack.finished(message_id)

    [(refused_at, tried_at)] = stack.sql(
        "SELECT min(finished_at) FILTER (WHERE outcome = 'retry'), min(started_at) FILTER (WHERE outcome = 'accepted')"
        " FROM dispatch_attempt WHERE message_id = %s",
        message_id,
    )
    assert (tried_at - refused_at).total_seconds() >= 2


def test_an_answer_that_never_comes_is_resolved_by_a_repeat_that_the_provider_recognises(stack: Stack) -> None:
    message_id = stack.send(NUMBER.format("09"))  # answers after 4 s; we give up after 3

    assert stack.finished(message_id)["status"] == "delivered"
    outcomes = [
        row[0]
        for row in stack.sql("SELECT outcome FROM dispatch_attempt WHERE message_id = %s ORDER BY number", message_id)
    ]
    assert (outcomes[0], outcomes[-1]) == ("unknown", "accepted")
    assert stack.received()[message_id]["sends"] == 1


def test_a_message_without_a_receipt_stays_sent(stack: Stack) -> None:
    message_id = stack.send(NUMBER.format("11"))
    stack.logged([message_id], ["sent"])

    assert stack.message(message_id)["status"] == "sent"


def test_a_provider_that_always_fails_is_tried_until_the_deadline(stack: Stack) -> None:
    message_id = stack.send(NUMBER.format("12"), valid_for=3)

    message = stack.finished(message_id)

    # HTTP 500 leaves open whether it was sent, so it must not be called expired.
    assert message["status"] == "unknown"
    [(tries,)] = stack.sql("SELECT count(*) FROM dispatch_attempt WHERE message_id = %s", message_id)
    assert tries > 2
