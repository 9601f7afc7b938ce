"""Suppressions in the admin: added and lifted, never changed; Django's log keeps who did. Recipients are masked."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from dispatch import numbers, senders, suppressions
from dispatch.admin.filters import AccountFilter, ModeFilter
from dispatch.models import Suppression
from dispatch.vocabulary import Channel, SuppressionReason
from sendmsg.admin import BigTableAdmin, as_uuid

if TYPE_CHECKING:
    _Form = forms.ModelForm[Suppression]
else:
    _Form = forms.ModelForm


class SuppressionForm(_Form):
    recipient = forms.CharField(max_length=numbers.MAX_TEXT_LENGTH, help_text="With + and country code.")

    class Meta:
        model = Suppression
        fields = ("account", "test", "recipient", "sender", "channel", "detail")

    def clean_recipient(self) -> str:
        """As messages spell it: the two must be equal to meet."""
        try:
            return numbers.normalise(self.cleaned_data["recipient"])
        except numbers.InvalidNumber as error:
            raise ValidationError(error.detail) from None

    def clean_sender(self) -> str:
        """As messages spell it, or empty."""
        given: str = self.cleaned_data["sender"]
        try:
            return senders.check_sender(given, Channel.SMS) if given else ""
        except senders.InvalidSender as error:
            raise ValidationError(error.detail) from None


@admin.register(Suppression)
class SuppressionAdmin(BigTableAdmin):
    form = SuppressionForm
    list_display = ("id", "account", "mode", "masked", "sender", "channel", "reason", "detail", "created_at")
    list_filter = ("reason", "channel", ModeFilter, AccountFilter)
    search_fields = ("recipient",)
    search_help_text = "A whole id, or the recipient's whole number."
    autocomplete_fields = ("account",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Suppression]:
        rows: QuerySet[Suppression] = super().get_queryset(request)
        return rows.select_related("account")

    def get_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        if obj is None:
            return SuppressionForm.Meta.fields
        return ("id", "account", "mode", "masked", "sender", "channel", "reason", "detail", "created_at")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        """Each by its index: that of recipients begins with the account."""
        if not search_term:
            return queryset, False
        own = as_uuid(search_term)
        if own is not None:
            return queryset.filter(id=own), False
        try:
            return queryset.filter(recipient=numbers.normalise(search_term)), False
        except numbers.InvalidNumber:
            return queryset.none(), False

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        """Never: another scope is another suppression."""
        return False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        obj.reason = SuppressionReason.OPERATOR
        suppressions.add([obj])

    def delete_model(self, request: HttpRequest, obj: Suppression) -> None:
        suppressions.lift(Suppression.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> None:
        with transaction.atomic():
            suppressions.lift(Suppression.objects.filter(pk__in=queryset.values("pk")))

    @admin.display(description="recipient")
    def masked(self, suppression: Suppression) -> str:
        return numbers.mask(suppression.recipient)

    @admin.display(description="keys", ordering="test")
    def mode(self, suppression: Suppression) -> str:
        """Whose messages it holds back."""
        return "test" if suppression.test else "live"
