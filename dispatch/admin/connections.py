"""Connections in the admin: how providers are reached. Of stored credentials the page tells the names, and no value."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from dispatch import history
from dispatch.admin import health
from dispatch.admin.connection_form import ConnectionForm
from dispatch.admin.health import HealthList
from dispatch.admin.operating import Operating
from dispatch.models import Attempt, Connection, Message, ProviderReference, Route
from sendmsg.admin import Audited
from sendmsg.errors import ConfigurationError

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Connection]
else:
    _Admin = admin.ModelAdmin

USE: Any = (
    "Use",
    {"fields": ("enabled", "sandbox", "region", "weight", "rate", "sender_rate", "concurrency", "receipt_wait")},
)
UNKNOWN: Any = (
    "When nobody knows whether a message was sent",
    {"fields": ("unknown_policy", "unknown_wait", "unknown_then")},
)
WHATSAPP: Any = ("WhatsApp texts outside the 24-hour window", {"fields": ("whatsapp_template",)})


@admin.register(Connection)
class ConnectionAdmin(Operating, Audited, _Admin):
    """Connections: made and tuned here. One that has been used is switched off, never deleted."""

    form = ConnectionForm
    unsaid = ("new_credentials",)
    list_display = ("name", "status", "doing", "provider", "share", "rate", "concurrency", "region", "keys")
    list_filter = ("enabled", "sandbox", "provider")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("name", "provider", "base_url", "webhook_url", "used_by")}),
        ("Credentials", {"fields": ("stored", "new_credentials")}),
        USE,
        UNKNOWN,
        WHATSAPP,
        ("Times (UTC)", {"fields": ("created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """Without credentials: they are read where they are needed, and one that can't be read breaks no page."""
        return super().get_queryset(request).defer("credentials")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return HealthList

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """A new one has nothing to show yet; of credentials, whoever may not change them sees not even the names."""
        if obj is not None:
            may = self.has_change_permission(request, obj)
            return [part for part in self.fieldsets if may or part[0] != "Credentials"]
        return [(None, {"fields": ("name", "provider", "base_url", "new_credentials")}), USE, UNKNOWN, WHATSAPP]

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> tuple[str, ...]:
        """The name names a queue and a webhook, and messages on their way know both."""
        if obj is None:
            return ()
        return ("name", "provider", "webhook_url", "used_by", "stored", "created_at", "updated_at")

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """Whoever may, while nothing refers to it. Only its deletion looks through everything for that."""
        if not super().has_delete_permission(request, obj):
            return False
        deleting = request.path.endswith("/delete/")
        return obj is None or not (_is_used(obj) if deleting else _has_sent(obj))

    @method_decorator(sensitive_post_parameters("new_credentials"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        connection: Connection | None = context["original"]
        if connection is not None:
            context["panel"] = health.panel(connection)
            useless = "pause" if connection.paused_at else "resume"
            choices = self.get_action_choices(request, default_choices=[])
            context["switches"] = [(name, label) for name, label in choices if name != useless]
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """A weight is changed in the connection's history too."""
        weight = obj.weight
        if change:
            obj.weight = Connection.objects.values_list("weight", flat=True).get(pk=obj.pk)
        super().save_model(request, obj, form, change)
        if change:
            history.weigh(obj, weight, request.user.get_username())
            obj.weight = weight

    @admin.display(description="state", ordering="enabled")
    def status(self, connection: Connection) -> SafeString:
        return health.state(connection)

    @admin.display(description="health")
    def doing(self, connection: Any) -> SafeString:
        """Its breaker, as `HealthList` read it."""
        return health.light(connection.health)

    @admin.display(description="weight", ordering="weight")
    def share(self, connection: Any) -> SafeString:
        """With what is left of it."""
        return format_html('<span class="number">{}</span>', health.weight(connection, connection.health))

    @admin.display(description="keys", ordering="sandbox")
    def keys(self, connection: Connection) -> str:
        """Whose messages it takes."""
        return "test" if connection.sandbox else "live"

    @admin.display(description="routes")
    def used_by(self, connection: Connection) -> str:
        """The routes that it is a step of."""
        names = Route.objects.filter(steps__connection=connection).distinct().values_list("name", flat=True)
        return ", ".join(names) or "none: it takes what has no route"

    @admin.display(description="webhook URL")
    def webhook_url(self, connection: Connection) -> SafeString:
        """What the provider is told, for its receipts."""
        path = reverse("webhook", args=[connection.provider, connection.name])
        return format_html('<code class="copy">{}{}</code>', settings.PUBLIC_URL, path)

    @admin.display(description="stored")
    def stored(self, connection: Connection) -> str:
        """The names of the stored keys."""
        try:
            names = sorted(Connection.objects.values_list("credentials", flat=True).get(pk=connection.pk))
        except ConfigurationError as error:
            return f"{error.detail}: enter them anew."
        return ", ".join(names) or "-"


def _has_sent(connection: Connection) -> bool:
    """By an index, for every look at its page."""
    return ProviderReference.objects.filter(connection=connection).exists()


def _is_used(connection: Connection) -> bool:
    """Whether anything refers to it; the cheapest question first, which is enough for any that ever served."""
    asked: tuple[type[Model], ...] = (ProviderReference, Message, Attempt)
    return any(kind._default_manager.filter(connection=connection).exists() for kind in asked)
