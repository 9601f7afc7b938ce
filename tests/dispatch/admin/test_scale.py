"""Pages over big tables: whatever is clicked, each query reads a bounded number of rows, and nothing counts them all.

The rows that Postgres really reads are counted, on a table that is large enough for a walk through it to be seen.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dispatch import minutes
from dispatch.admin import figures
from dispatch.admin.recent import needs_bound
from dispatch.models import Connection, Message
from sendmsg.accounts.models import Account
from sendmsg.estimates import EXACT_ROWS
from tests.factories import make_connection

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
ROWS = 60_000  # over ten days
MOST = 2 * EXACT_ROWS + 1000  # rows of one query: a count reads so many, half of them through an index first
FILL = """
INSERT INTO dispatch_message (
    id, account_id, test, lane, channel, "to", sender, body, segments, encoding, priority, client_reference, metadata,
    state, release, tries, in_doubt, error_code, error_detail, due_at, expires_at, created_at, updated_at, connection_id
)
SELECT
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || left(h, 3) || 'a' || right(h, 15))::uuid,
    %(account)s, n %% 50 = 0, 1, 'sms', '+4477009' || lpad((n %% 1000)::text, 5, '0'), 'Acme', 'x', 1, 'gsm7', 1,
    'order-' || n, '{}', state, 1, 1, false, CASE state WHEN 'failed' THEN 'odd' ELSE '' END, '', at, at, at, at,
    %(used)s
FROM (
    SELECT n, md5(n::text) AS h, now() - (%(rows)s - n) * interval '10 days' / %(rows)s AS at,
        CASE WHEN n %% 100 < 97 THEN 'delivered' WHEN n %% 100 < 99 THEN 'failed' ELSE 'sent' END AS state
    FROM generate_series(1, %(rows)s) AS n
) AS made
"""
LETTERS = """
INSERT INTO dispatch_deadletter (
    id, message_id, account_id, test, connection_id, reason, detail, queue, task, state, handled_by, note, created_at
)
SELECT id, id, account_id, test, connection_id, error_code, '', '', '', 'open', '', '', created_at
FROM dispatch_message WHERE state = 'failed'
"""


@pytest.fixture
def rare(acme: Account) -> Iterator[Connection]:
    """A connection without any message, beside one with a great many."""
    values: dict[str, Any] = {"account": str(acme.id), "used": make_connection().pk, "rows": ROWS}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # a busy machine fills slowly
        cursor.execute(FILL, values)
        cursor.execute(LETTERS)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # looked at once, and not at the end of the test
        cursor.execute("ANALYZE dispatch_message, dispatch_deadletter, accounts_account")
    figures.forget()
    yield make_connection("rare")
    figures.forget()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")


def pages(rare: Connection) -> list[str]:
    message = Message.objects.filter(state="failed").order_by("-id")[0]
    filters = [
        "",
        "p=3",
        "state__exact=delivered",
        "state__exact=failed",
        "state__exact=unknown",
        "error_code=odd",
        f"connection={rare.pk}",
        f"connection={rare.pk}&state__exact=delivered",
        "provider=twilio",
        "channel__exact=whatsapp",
        "priority__exact=0",
        "mode=test",
        "mode=live",
        "age=hour",
        "day=2026-01-01",
        "q=order-7",
        f"q=%2B{message.to[1:]}",
        f"q={message.id}",
        "q=nothing",
    ]
    letters = ["", "state__exact=open", "state__exact=discarded", "reason=odd", f"connection={rare.pk}", "age=hour"]
    return [
        "/admin/",
        *(f"/admin/dispatch/message/?{one}" for one in filters),
        *(f"/admin/dispatch/deadletter/?{one}" for one in letters),
        *(f"/admin/search/?q={term}" for term in ("order-7", f"%2B{message.to[1:]}", message.id, "nothing")),
        f"/admin/dispatch/message/{message.id}/change/",
        f"/admin/dispatch/connection/{rare.pk}/change/",
    ]


def test_no_page_reads_more_rows_than_it_may(admin_client: Client, rare: Connection) -> None:
    read: dict[str, int] = {}
    for url in pages(rare):
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(url).status_code in (200, 302), url
        read |= {f"{url}: {sql}": rows_read(sql) for sql in asked(captured)}

    assert len(read) > 50
    assert {name: rows for name, rows in read.items() if rows > MOST} == {}


def test_counting_minutes_reads_those_minutes(rare: Connection) -> None:
    with CaptureQueriesContext(connection) as captured:
        minutes.keep()

    read = [rows_read(sql) for sql in asked(captured)]
    assert read
    assert max(read) < 100


def asked(captured: CaptureQueriesContext) -> list[str]:
    """The questions about big tables; those to the planner read nothing."""
    big = ("dispatch_message", "dispatch_deadletter", "dispatch_attempt")
    return [query["sql"] for query in captured if reads(query["sql"]) and any(table in query["sql"] for table in big)]


def reads(sql: str) -> bool:
    return sql.lstrip().startswith(("SELECT", "WITH"))


def rows_read(sql: str) -> int:
    """How many rows Postgres looked at to answer."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [(answer,)] = cursor.fetchall()
    [top] = answer if isinstance(answer, list) else json.loads(answer)
    return _leaves(top["Plan"])


def _leaves(node: dict[str, Any]) -> int:
    below = node.get("Plans", ())
    if below:
        return sum(_leaves(one) for one in below)
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.parametrize(
    ("asked", "bounded"),
    [
        ({}, False),
        ({"connection": "7"}, True),
        ({"channel__exact": "sms", "state__exact": "delivered"}, True),
        ({"connection": "7", "state__exact": "failed"}, False),
        ({"priority__exact": "0", "age": "hour"}, False),
        ({"provider": "twilio", "mode": "test"}, False),
        ({"provider": "twilio", "mode": "live"}, True),
    ],
)
def test_only_what_no_index_serves_is_bounded(asked: dict[str, str], bounded: bool) -> None:
    assert needs_bound(asked) == bounded


def test_a_list_that_leaves_older_ones_out_says_so(admin_client: Client, rare: Connection) -> None:
    assert "Of the past 24 hours alone" in admin_client.get("/admin/dispatch/message/?channel__exact=sms").text
    assert "Of the past 24 hours alone" not in admin_client.get("/admin/dispatch/message/?state__exact=failed").text
