"""One box that finds anything by what a person has: a number, an id, a reference, whole.

Each table is asked by its index alone, and for a few rows. Who has no right to look into one is not told what it has.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from dispatch.admin.messages import short
from dispatch.admin.search import matching, number
from dispatch.models import Broadcast, Connection, DeadLetter, Message, ProviderReference, Suppression
from sendmsg.accounts.models import Account
from sendmsg.admin import as_uuid, badge

MOST: Final = 20  # rows of a kind
LONGEST: Final = 200  # characters of a term; nothing has a longer name


@dataclass(frozen=True, slots=True)
class Kind:
    """Something to be found. `find`: its rows that a term names, newest first; `cells`: what is shown of one."""

    permission: str
    title: str
    page: str
    find: Callable[[str], QuerySet[Any]]
    cells: Callable[[Any], Iterable[Any]]


def _messages(term: str) -> QuerySet[Any]:
    rows = Message.objects.filter(pk__in=matching(term)).select_related("account")
    return rows.only("id", "account__name", "state", "channel", "created_at")


def _by_provider_id(term: str) -> QuerySet[Any]:
    """The index of providers' ids begins with the connection; there are few of those."""
    known = ProviderReference.objects.filter(connection_id__in=connection_ids(), value=term[:128])
    ids = list(known.order_by().values_list("message_id", flat=True)[:MOST])
    rows = Message.objects.filter(pk__in=ids).select_related("account")
    return rows.only("id", "account__name", "state", "channel", "created_at")


def _suppressions(term: str) -> QuerySet[Any]:
    to = number(term)
    accounts = Account.objects.order_by().values("id")
    return Suppression.objects.filter(account__in=accounts, recipient=to) if to else Suppression.objects.none()


def by_id(model: Any) -> Callable[[str], QuerySet[Any]]:
    """Rows of `model` by their own id."""

    def find(term: str) -> QuerySet[Any]:
        key = as_uuid(term)
        rows: QuerySet[Any] = model.objects.filter(pk=key) if key else model.objects.none()
        return rows

    return find


def connection_ids() -> list[int]:
    return list(Connection.objects.values_list("id", flat=True))


def _message_cells(row: Any) -> Iterable[Any]:
    return (
        short(row.id),
        row.account.name,
        row.get_channel_display(),
        badge(row.state),
        f"{row.created_at:%Y-%m-%d %H:%M:%S}",
    )


KINDS: Final[list[Kind]] = [
    Kind("dispatch.view_message", "Messages", "admin:dispatch_message_change", _messages, _message_cells),
    Kind(
        "dispatch.view_message",
        "Messages by the provider's id",
        "admin:dispatch_message_change",
        _by_provider_id,
        _message_cells,
    ),
    Kind(
        "dispatch.view_deadletter",
        "Dead letters",
        "admin:dispatch_deadletter_change",
        by_id(DeadLetter),
        lambda row: (row.reason, badge(row.state)),
    ),
    Kind(
        "dispatch.view_broadcast",
        "Broadcasts",
        "admin:dispatch_broadcast_change",
        by_id(Broadcast),
        lambda row: (str(row), badge(row.state)),
    ),
    Kind(
        "dispatch.view_suppression",
        "Suppressions",
        "admin:dispatch_suppression_change",
        _suppressions,
        lambda row: (short(row.id), row.get_reason_display(), f"{row.created_at:%Y-%m-%d}"),
    ),
]
"""In the order in which they are shown. Other apps put in theirs; imports go one way."""


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """What a term names; straight to its page if that is one thing alone."""
    term = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]
    groups = [_group(kind, term) for kind in KINDS if term and request.user.has_perm(kind.permission)]
    found = [group for group in groups if group["rows"]]
    if len(found) == 1 and len(found[0]["rows"]) == 1:
        return HttpResponseRedirect(found[0]["rows"][0][0])
    context = {**admin.site.each_context(request), "title": "Search", "term": term, "groups": found, "most": MOST}
    return TemplateResponse(request, "admin/dispatch/search.html", context)


def _group(kind: Kind, term: str) -> dict[str, Any]:
    rows = kind.find(term).order_by("-pk")[: MOST + 1]
    found = [(reverse(kind.page, args=[row.pk]), list(kind.cells(row))) for row in rows]
    return {"title": kind.title, "rows": found[:MOST], "more": len(found) > MOST}
