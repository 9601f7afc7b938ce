"""Counts of big tables: exact where that is cheap, else what Postgres expects."""

import pytest
from django.core.paginator import EmptyPage
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dispatch.models import Message
from sendmsg import estimates
from sendmsg.accounts.models import Account
from sendmsg.estimates import EstimatedCountPaginator
from tests.factories import make_message

pytestmark = pytest.mark.django_db
ROWS = 20


@pytest.fixture(autouse=True)
def known_rows(acme: Account) -> None:
    """Twenty messages that Postgres has statistics of."""
    for _ in range(ROWS):
        make_message(acme)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE dispatch_message")


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows are too many to count."""
    monkeypatch.setattr(estimates, "EXACT_ROWS", 3)


def pages() -> EstimatedCountPaginator:
    return EstimatedCountPaginator(Message.objects.order_by("-id"), 5)


def test_a_small_count_is_exact(acme: Account) -> None:
    make_message(acme)

    assert (pages().count, pages().estimated, pages().num_pages) == (ROWS + 1, False, 5)


def test_a_big_count_is_what_postgres_expects(acme: Account, big: None) -> None:
    with CaptureQueriesContext(connection) as captured:
        counted = pages()
        assert (counted.count, counted.estimated) == (ROWS, True)

    assert len(captured) == 2
    assert all("LIMIT 4" in query["sql"] for query in captured)


def test_a_count_that_would_cost_too_much_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "EXACT_COST", 0.0)

    with CaptureQueriesContext(connection) as captured:
        counted = pages()
        assert (counted.count, counted.estimated) == (ROWS, True)

    assert [query["sql"].split()[0] for query in captured] == ["EXPLAIN"]


def test_where_little_is_left_old_statistics_do_not_matter(big: None) -> None:
    Message.objects.exclude(id__in=list(Message.objects.values_list("id", flat=True)[:2])).delete()

    assert (pages().count, pages().estimated) == (2, False)


def test_nothing_is_a_page_too(big: None) -> None:
    nothing = EstimatedCountPaginator(Message.objects.filter(to="").order_by("-id"), 5)

    assert (nothing.count, nothing.estimated, list(nothing.page(1))) == (0, False, [])


def test_what_can_not_match_needs_no_plan() -> None:
    assert EstimatedCountPaginator(Message.objects.filter(id__in=[]).order_by("-id"), 5).count == 0


def test_only_the_first_pages_of_many_can_be_turned_to(big: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "PAGES", 2)

    assert pages().num_pages == 2
    assert len(pages().page(2)) == 5
    with pytest.raises(EmptyPage):
        pages().page(3)
