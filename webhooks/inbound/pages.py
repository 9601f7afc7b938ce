"""Inbound messages and our numbers in the admin. Senders are masked, as recipients are; a text is on its own page."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from dispatch import numbers
from dispatch.admin.filters import AccountFilter, ConnectionFilter, ModeFilter
from dispatch.models import Connection
from sendmsg.admin import Audited, BigTableAdmin, Discreet, ReadOnly, as_uuid
from webhooks.inbound import reading
from webhooks.models import Inbound, InboundNumber

if TYPE_CHECKING:
    _NumberAdmin = admin.ModelAdmin[InboundNumber]
    _NumberForm = forms.ModelForm[InboundNumber]
else:
    _NumberAdmin, _NumberForm = admin.ModelAdmin, forms.ModelForm


class OwnedFilter(admin.SimpleListFilter):
    title = "number"
    parameter_name = "owned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "nobody's")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(account=None)


@admin.register(Inbound)
class InboundAdmin(ReadOnly, Discreet, BigTableAdmin):
    list_display = ("id", "account", "connection", "channel", "from_whom", "to", "keyword", "received_at")
    list_filter = ("keyword", OwnedFilter, ModeFilter, AccountFilter, ConnectionFilter)
    search_fields = ("provider_id",)
    search_help_text = "A whole id, ours or the provider's, or the sender's whole number."
    fields = (
        "id",
        "account",
        "test",
        "connection",
        "provider_id",
        "channel",
        "from_whom",
        "to",
        "body",
        "keyword",
        "media",
        "received_at",
        "created_at",
    )
    readonly_fields = ("from_whom",)
    texts = ("body", "media")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Inbound]:
        """With accounts and connections, without the connections' secrets."""
        rows: QuerySet[Inbound] = super().get_queryset(request)
        return rows.select_related("account", "connection").defer("connection__credentials")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Inbound], search_term: str
    ) -> tuple[QuerySet[Inbound], bool]:
        """Each by its index: that of providers' ids begins with the connection, and there are few of those."""
        if not search_term:
            return queryset, False
        connections = list(Connection.objects.values_list("id", flat=True))
        named = Q(connection_id__in=connections, provider_id=search_term) | Q(sender=reading.phone(search_term))
        own = as_uuid(search_term)
        return queryset.filter(named if own is None else named | Q(id=own)), False

    @admin.display(description="from")
    def from_whom(self, message: Inbound) -> str:
        return numbers.mask(message.sender)


class NumberForm(_NumberForm):
    class Meta:
        model = InboundNumber
        fields = ("connection", "number", "account")

    def clean_number(self) -> str:
        """As receipts and messages spell it: the two must be equal to meet."""
        return reading.phone(self.cleaned_data["number"])


@admin.register(InboundNumber)
class InboundNumberAdmin(Audited, _NumberAdmin):
    form = NumberForm
    list_display = ("number", "connection", "account")
    list_filter = (ConnectionFilter,)
    search_fields = ("number",)
    autocomplete_fields = ("account",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboundNumber]:
        """With accounts and connections, without the connections' secrets."""
        return super().get_queryset(request).select_related("account", "connection").defer("connection__credentials")
