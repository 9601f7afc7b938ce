"""Accounts and API keys in the admin.

A key's text is rendered into the answer of the request that creates it, never into a message cookie or a
session, so that it is nowhere once the page is closed. Afterwards a key can only be looked at and revoked.
"""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from sendmsg.accounts import user_admin  # noqa: F401  registers users and roles
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.scopes import Scope
from sendmsg.admin import Audited

if TYPE_CHECKING:
    _AccountBase = admin.ModelAdmin[Account]
    _ApiKeyBase = admin.ModelAdmin[ApiKey]
    _ApiKeyFormBase = forms.ModelForm[ApiKey]
else:
    _AccountBase = _ApiKeyBase = admin.ModelAdmin
    _ApiKeyFormBase = forms.ModelForm


@admin.register(Account)
class AccountAdmin(Audited, _AccountBase):
    """Accounts: created and renamed here; deleted only while nothing belongs to them."""

    list_display = ("name", "default_sender", "created_at")
    search_fields = ("name",)
    readonly_fields = ("id", "created_at")
    fieldsets = (
        (None, {"fields": ("id", "name", "default_sender", "created_at")}),
        (
            "When people write STOP, START or HELP",
            {"fields": ("opt_out_keywords", "opt_out_per_number", "opt_out_confirm", "opt_out_reply", "help_reply")},
        ),
        (
            "How long things are kept, in days",
            {"fields": ("body_days", "message_days", "timeline_days", "archive_days")},
        ),
    )


class NewApiKeyForm(_ApiKeyFormBase):
    """What a person decides about a new key."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value}: {scope.label}") for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiKey
        fields = ("account", "name", "mode", "scopes", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(_ApiKeyBase):
    """API keys: created once, read-only afterwards, revoked by an action."""

    form = NewApiKeyForm
    list_display = ("shown", "account", "name", "mode", "state", "last_used_at", "created_at")
    list_filter = ("mode", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("name", "prefix", "last4", "account__name")
    autocomplete_fields = ("account",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """The form's fields for a new key; everything but the digest for an existing one."""
        if obj is None:
            return ("account", "name", "mode", "scopes", "expires_at")
        times = ("created_at", "expires_at", "revoked_at", "last_used_at")
        return ("shown", "state", "account", "name", "mode", "scope_list", *times)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Nothing of an existing key can be edited."""
        return () if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Never: a key that must differ is a new key."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Never: a revoked key stays as a record of who could act."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever holds Django's change permission on keys may revoke them."""
        return request.user.has_perm("accounts.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Mint the key as its row is saved."""
        obj.mint()
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key on this page and nowhere else."""
        context = {**self.admin_site.each_context(request), "title": "API key created", "key": obj}
        return TemplateResponse(request, "admin/accounts/apikey/created.html", context)

    @admin.display(description="key", ordering="prefix")
    def shown(self, key: ApiKey) -> str:
        """What identifies a key to a person."""
        return str(key)

    @admin.display(description="scopes")
    def scope_list(self, key: ApiKey) -> str:
        """The scopes in one line."""
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        """Whether the key opens anything."""
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.is_expired() else "active"

    @admin.action(description="Revoke the selected keys, at once and for good", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke those that are not yet; each leaves an entry in the admin's history."""
        keys = list(queryset.filter(revoked_at=None))
        ApiKey.objects.filter(pk__in=[key.pk for key in keys]).update(revoked_at=timezone.now())
        for key in keys:
            self.log_change(request, key, "Revoked.")
        self.message_user(request, f"Revoked: {len(keys)}.")
