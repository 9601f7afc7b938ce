"""Receipts in the admin: what providers reported, as evidence that nobody edits; also on the page of their message."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch.admin import finding
from dispatch.admin.filters import ConnectionFilter
from dispatch.admin.messages import MessageAdmin, link
from dispatch.admin.story import SOURCES
from dispatch.models import Connection, Message
from sendmsg.admin import BigTableAdmin, ReadOnly, as_uuid, badge
from webhooks import found, story
from webhooks.callbacks import admin as endpoints  # noqa: F401  registers clients' endpoints
from webhooks.callbacks import callback_admin  # noqa: F401  registers what they are told
from webhooks.inbound import pages  # noqa: F401  registers what people sent to us
from webhooks.models import Receipt

if TYPE_CHECKING:
    _ReceiptInline = admin.TabularInline[Receipt, Message]
else:
    _ReceiptInline = admin.TabularInline


SHOWN = 20  # characters of a provider's id in the list


class ReceiptInline(ReadOnly, _ReceiptInline):
    model = Receipt
    fields = ("received_at", "at", "connection", "provider_id", "reported", "error_code", "handled")
    readonly_fields = ("reported", "handled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        """With their connections, without the connections' secrets."""
        rows = super().get_queryset(request)
        return rows.select_related("connection").defer("connection__credentials").order_by("id")

    @admin.display(description="status")
    def reported(self, receipt: Receipt) -> SafeString:
        return badge(receipt.status)

    @admin.display(description="state")
    def handled(self, receipt: Receipt) -> SafeString:
        return badge(receipt.state)


MessageAdmin.inlines.append(ReceiptInline)
SOURCES += [story.receipts, story.callbacks]
finding.KINDS.extend(found.KINDS)


@admin.register(Receipt)
class ReceiptAdmin(ReadOnly, BigTableAdmin):
    list_display = ("named", "connection", "reported", "handled", "error_code", "about", "received_at")
    list_filter = ("state", "status", ConnectionFilter)
    search_fields = ("provider_id",)
    search_help_text = "A whole id: of a message, or the provider's."
    fields = ("connection", "provider_id", "reported", "error_code", "handled", "about", "at", "received_at")
    readonly_fields = ("reported", "handled", "about")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        """With connections, without their secrets."""
        rows: QuerySet[Receipt] = super().get_queryset(request)
        return rows.select_related("connection").defer("connection__credentials")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Receipt], search_term: str
    ) -> tuple[QuerySet[Receipt], bool]:
        """By id. The index of providers' ids begins with the connection; there are few of those."""
        if not search_term:
            return queryset, False
        connections = list(Connection.objects.values_list("id", flat=True))
        named = Q(connection_id__in=connections, provider_id=search_term)
        message_id = as_uuid(search_term)
        return queryset.filter(named if message_id is None else named | Q(message_id=message_id)), False

    @admin.display(description="status")
    def reported(self, receipt: Receipt) -> SafeString:
        return badge(receipt.status)

    @admin.display(description="state")
    def handled(self, receipt: Receipt) -> SafeString:
        return badge(receipt.state)

    @admin.display(description="provider id")
    def named(self, receipt: Receipt) -> SafeString:
        value = receipt.provider_id
        shown = value if len(value) <= SHOWN else f"{value[: SHOWN - 7]}…{value[-6:]}"
        return format_html('<span title="{}">{}</span>', value, shown)

    @admin.display(description="message")
    def about(self, receipt: Receipt) -> str | SafeString:
        return link(receipt.message_id)
