"""The control of dispatch: the way of the textbook, one task a message in prefork processes, with two queries each.

celery -A tests.bench.textbook worker -P prefork -c 8
"""

import os
from typing import Any

import psycopg2
import requests
from celery import Celery

app = Celery("textbook", broker=os.environ.get("BROKER_URL", "memory://"))
app.conf.update(
    task_default_queue="textbook",
    task_default_queue_type="quorum",
    broker_native_delayed_delivery_queue_type="quorum",
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
)
_database: Any = None


@app.task
def send(message_id: str) -> None:
    """Read the message, post it, write what became of it."""
    global _database
    if _database is None:
        _database = psycopg2.connect(os.environ["DATABASE_URL"])
    with _database, _database.cursor() as cursor:
        cursor.execute("SELECT recipient, body FROM bare WHERE id = %s", (message_id,))
        to, body = cursor.fetchone()
    requests.post(
        os.environ["PROVIDER_URL"],
        json={"to": to, "from": "SendMSG", "channel": "sms", "body": body},
        headers={"Authorization": os.environ["PROVIDER_TOKEN"], "Idempotency-Key": message_id},
        timeout=15,
    )
    with _database, _database.cursor() as cursor:
        cursor.execute("UPDATE bare SET sent_at = now() WHERE id = %s", (message_id,))
