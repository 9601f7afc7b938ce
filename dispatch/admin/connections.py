"""Connections in the admin: how providers are reached.

Credentials go in and never come out: the page tells the names of the stored keys and no value, not even one that was
just typed and refused. What is saved is what the adapter accepts.
"""

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from dispatch.directory import Entry
from dispatch.models import Attempt, Connection, Message, ProviderReference
from dispatch.providers.registry import PROVIDERS
from sendmsg.admin import BigTableAdmin
from sendmsg.errors import ConfigurationError, UnknownProvider

if TYPE_CHECKING:
    _Form = forms.ModelForm[Connection]
    _Admin = admin.ModelAdmin[Connection]
else:
    _Form = forms.ModelForm
    _Admin = admin.ModelAdmin


class SecretInput(forms.Textarea):
    """A field that is always empty in the page, also when the form comes back with errors."""

    def format_value(self, value: Any) -> str | None:
        return None


class ConnectionForm(_Form):
    provider = forms.ChoiceField(choices=[(slug, slug) for slug in PROVIDERS])
    base_url = forms.URLField(
        label="Base URL", max_length=200, assume_scheme="https", validators=[URLValidator(schemes=["https", "http"])]
    )
    credentials = forms.JSONField(
        required=False,
        widget=SecretInput(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text='A JSON object such as {"api_key": "…"}, which replaces all that is stored. Empty: nothing changes.',
    )

    class Meta:
        model = Connection
        fields = ("name", "provider", "base_url", "credentials", "sandbox", "enabled", "weight", "concurrency")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["credentials"] = None  # so that the stored ones neither reach the page nor count as changed

    def clean_concurrency(self) -> int:
        concurrency: int = self.cleaned_data["concurrency"]
        if concurrency < 1:
            raise ValidationError("At least one call at a time; to stop, disable the connection.")
        return concurrency

    def clean_credentials(self) -> dict[str, Any] | None:
        """What was typed, or None to keep what is stored."""
        given = self.cleaned_data["credentials"]
        if not given and self.instance.pk is None:
            raise ValidationError("A new connection needs credentials.")
        if given is not None and not isinstance(given, dict):
            raise ValidationError('A JSON object is needed: {"name": "value"}.')
        return given or None

    def clean(self) -> None:
        """Whether the adapter would take it: a connection that can't be built serves no message."""
        super().clean()
        if self.cleaned_data.get("credentials") is None:
            self.cleaned_data.pop("credentials", None)  # what is missing here is left alone by `save`
        if self.errors:
            return
        try:
            self._entry().build().close()
        except UnknownProvider as error:
            self.add_error("provider", error.detail)
        except ConfigurationError as error:
            self.add_error("credentials", error.detail)

    def _entry(self) -> Entry:
        """The connection as it would be after saving; `ConfigurationError` if stored credentials can't be read."""
        fields = {"name": self.instance.name, "provider": self.instance.provider, **self.cleaned_data}
        if "credentials" not in fields:
            fields["credentials"] = self.instance.credentials
        return Entry(id=self.instance.pk or 0, updated_at=timezone.now(), **fields)


@admin.register(Connection)
class ConnectionAdmin(_Admin):
    """Connections: made and tuned here. One that has been used is switched off, never deleted."""

    form = ConnectionForm
    list_display = ("name", "provider", "base_url", "sandbox", "enabled", "weight", "concurrency", "updated_at")
    show_full_result_count = False
    actions = None  # deleting many would collect the messages of each
    fieldsets = (
        (None, {"fields": ("name", "provider", "base_url", "webhook_url")}),
        ("Credentials", {"fields": ("stored", "credentials")}),
        ("Use", {"fields": ("enabled", "sandbox", "weight", "concurrency")}),
        ("Times (UTC)", {"fields": ("created_at", "updated_at")}),
    )
    Media = BigTableAdmin.Media

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """Without credentials: they are read where they are needed, and one that can't be read breaks no page."""
        return super().get_queryset(request).defer("credentials")

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> tuple[str, ...]:
        """The name names a queue and a webhook, and messages on their way know both."""
        shown = ("webhook_url", "stored", "created_at", "updated_at")
        return shown if obj is None else ("name", "provider", *shown)

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """Whoever may, while nothing refers to it."""
        return super().has_delete_permission(request, obj) and not (obj and _is_used(obj))

    @method_decorator(sensitive_post_parameters("credentials"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    @admin.display(description="webhook URL")
    def webhook_url(self, connection: Connection) -> str | SafeString:
        """What the provider is told, for its receipts."""
        if connection.pk is None:
            return "Shown once saved."
        path = reverse("webhook", args=[connection.provider, connection.name])
        return format_html('<code class="copy">{}{}</code>', settings.PUBLIC_URL, path)

    @admin.display(description="stored")
    def stored(self, connection: Connection) -> str:
        """The names of the stored keys."""
        if connection.pk is None:
            return "–"
        try:
            names = sorted(Connection.objects.values_list("credentials", flat=True).get(pk=connection.pk))
        except ConfigurationError as error:
            return f"{error.detail}: enter them anew."
        return ", ".join(names) or "–"


def _is_used(connection: Connection) -> bool:
    """Whether anything refers to it; the cheapest question first, which is enough for any that ever served."""
    asked: tuple[type[Model], ...] = (ProviderReference, Message, Attempt)
    return any(kind._default_manager.filter(connection=connection).exists() for kind in asked)
