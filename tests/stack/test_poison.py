"""What no worker can process goes through the dead-letter exchange and is stored; nothing else is held up."""

import pytest
from kombu import Connection, Producer

from tests.stack.stack import Stack
from tests.waiting import eventually


def publish(stack: Stack, body: bytes, content_type: str, headers: dict[str, str]) -> None:
    with Connection(stack.servers.broker_url, transport_options={"confirm_publish": True}) as broker:
        Producer(broker.default_channel).publish(
            body,
            exchange="",
            routing_key="deliver.sendmsg",
            delivery_mode=2,
            content_type=content_type,
            content_encoding="utf-8",
            headers=headers,
            timeout=10,
        )


@pytest.mark.parametrize(
    ("name", "body", "content_type", "headers"),
    [
        ("not JSON", b"\xff\xfe poison-1", "application/json", {"task": "dispatch.deliver", "id": "poison-1"}),
        ("a pickle", b"poison-2", "application/x-python-serialize", {"task": "dispatch.deliver", "id": "poison-2"}),
        ("no such task", b'[["poison-3"], {}, {}]', "application/json", {"task": "no.such.task", "id": "poison-3"}),
        ("bad ids", b'[["sendmsg", [["poison-4", 1]]], {}, {}]', "application/json",
         {"task": "dispatch.deliver", "id": "poison-4"}),
    ],
)  # fmt: skip
def test_a_poisonous_task_becomes_a_dead_letter(
    stack: Stack, name: str, body: bytes, content_type: str, headers: dict[str, str]
) -> None:
    publish(stack, body, content_type, headers)

    look = "SELECT queue, reason, detail FROM dispatch_deadletter WHERE detail LIKE %s"  # its text is encrypted
    [(queue, reason, detail)] = eventually(
        lambda: stack.sql(look, f"%{headers['id']}%"), f"the dead letter of {name}", 20
    )
    assert (queue, reason) == ("deliver.sendmsg", "task_rejected")
    assert headers["id"] in detail
    assert stack.finished(stack.send())["status"] == "delivered"


def test_a_task_that_raised_is_in_the_logs_database(stack: Stack) -> None:
    headers = {"task": "dispatch.deliver", "id": "poison-5"}
    body = b'[["sendmsg", [["poison-5", 1]]], {}, {}]'
    publish(stack, body, "application/json", headers)

    [(status,)] = eventually(
        lambda: stack.sql("SELECT status FROM django_celery_results_taskresult WHERE task_id = 'poison-5'", logs=True),
        "the failure is stored",
        20,
    )
    assert status == "FAILURE"
    [(others,)] = stack.sql(
        "SELECT count(*) FROM django_celery_results_taskresult WHERE status <> 'FAILURE'", logs=True
    )
    assert others == 0
