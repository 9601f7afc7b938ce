"""Callbacks in the admin: what failed is found, understood and sent again.

What a callback says is shown with its numbers masked, as everywhere.
"""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch import numbers
from dispatch.admin.ages import AgeFilter, DayFilter
from dispatch.admin.filters import AccountFilter
from dispatch.admin.messages import link, short
from sendmsg.admin import BigTableAdmin, Discreet, ReadOnly, as_uuid, badge
from webhooks.callbacks import replays
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.signing import name_of
from webhooks.callbacks.vocabulary import EndpointState

SHOWN = 60  # characters of a URL in a list


class EndpointAccountFilter(AccountFilter):
    """Of callbacks, which know their account by their endpoint."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        mine = super().queryset(request, Endpoint.objects.all())
        return queryset.filter(endpoint_id__in=list(mine.values_list("id", flat=True)))


@admin.register(Callback)
class CallbackAdmin(ReadOnly, Discreet, BigTableAdmin):
    list_display = (
        "short_id",
        "type",
        "to",
        "about",
        "status",
        "attempts",
        "response_status",
        "error_code",
        "happened_at",
    )
    list_filter = ("state", "type", EndpointAccountFilter, AgeFilter, DayFilter)
    search_fields = ("id",)
    search_help_text = "A whole id: of a callback, of its message, or of its endpoint."
    actions = ("replay",)
    fieldsets = (
        (None, {"fields": ("endpoint", "url", "type", "webhook_id", "about", "content")}),
        ("Delivery", {"fields": ("status", "attempts", "due_at")}),
        ("Last try", {"fields": ("attempted_at", "milliseconds", "response_status", "error_code", "answer")}),
        ("Times (UTC)", {"fields": ("happened_at", "created_at")}),
    )
    readonly_fields = ("webhook_id", "about", "content", "status", "answer", "created_at")
    texts = ("content", "answer")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Callback]:
        """With their endpoints, without the endpoints' secrets."""
        rows: QuerySet[Callback] = super().get_queryset(request)
        return rows.select_related("endpoint").defer("endpoint__secret", "endpoint__old_secrets")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Callback], search_term: str
    ) -> tuple[QuerySet[Callback], bool]:
        if not search_term:
            return queryset, False
        found = as_uuid(search_term)
        named = Q(id=found) | Q(message_id=found) | Q(endpoint_id=found)
        return (queryset.none() if found is None else queryset.filter(named)), False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """As for endpoints."""
        return request.user.has_perm("webhooks.change_callback")

    @admin.action(description="Send the selected callbacks again", permissions=["operate"])
    def replay(self, request: HttpRequest, chosen: QuerySet[Callback]) -> None:
        rows = list(chosen.filter(endpoint__state=EndpointState.ENABLED).order_by("-id")[: replays.MOST])
        with transaction.atomic():
            replays.renew(rows)
        for row in rows:
            self.log_change(request, row, "Sent again.")
        self.message_user(request, f"Sent again: {len(rows)}. Those of disabled endpoints are left alone.")

    @admin.display(description="id")
    def short_id(self, callback: Callback) -> SafeString:
        return format_html('<span class="number" title="{}">{}</span>', callback.id, short(callback.id))

    @admin.display(description="endpoint")
    def to(self, callback: Callback) -> str:
        url = callback.url or callback.endpoint.url
        return url if len(url) <= SHOWN else f"{url[:SHOWN]}…"

    @admin.display(description="message")
    def about(self, callback: Callback) -> str | SafeString:
        return link(callback.message_id)

    @admin.display(description="state")
    def status(self, callback: Callback) -> SafeString:
        return badge(callback.state)

    @admin.display(description="webhook-id")
    def webhook_id(self, callback: Callback) -> str:
        return name_of(callback.event_id)

    @admin.display(description="payload")
    def content(self, callback: Callback) -> SafeString:
        return _verbatim(callback.body)

    @admin.display(description="answer")
    def answer(self, callback: Callback) -> str | SafeString:
        return _verbatim(callback.response_body) if callback.response_body else "-"


def _verbatim(text: str) -> SafeString:
    return format_html('<div class="verbatim">{}</div>', numbers.mask_within(text))
