"""Routes in the admin: in the order in which they are tried, each with its steps."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest

from dispatch.admin.route_form import RouteForm, StepFormset
from dispatch.models import Connection, Route, RouteStep
from sendmsg.admin import Audited

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Route]
    _Inline = admin.TabularInline[RouteStep, Route]
else:
    _Admin = admin.ModelAdmin
    _Inline = admin.TabularInline

SHOWN = 60  # characters of a list of conditions in the list of routes


class StepInline(_Inline):
    model = RouteStep
    formset = StepFormset
    fields = ("position", "connection", "weight", "channel", "sender")
    extra = 1
    verbose_name_plural = "Steps: those of one position share by weight, a later one is for when no earlier one can"

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Connections without their credentials, and without four buttons beside each."""
        if db_field.name == "connection":
            kwargs["queryset"] = Connection.objects.defer("credentials")
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field


@admin.register(Route)
class RouteAdmin(Audited, _Admin):
    form = RouteForm
    inlines = (StepInline,)
    list_display = ("position", "name", "enabled", "account", "channel", "conditions", "ways")
    list_display_links = ("name",)
    list_editable = ("position", "enabled")
    list_select_related = ("account",)
    list_filter = ("enabled", "channel")
    search_fields = ("name",)
    autocomplete_fields = ("account",)
    ordering = ("position", "id")
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("name", "position", "enabled")}),
        (
            "Decides over messages for which all of these hold",
            {"fields": ("account", "channel", "destinations", "senders", "priorities")},
        ),
        ("When a message does not arrive", {"fields": ("reroute_undelivered",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """With the names of the steps' connections."""
        steps = RouteStep.objects.select_related("connection").defer("connection__credentials")
        return super().get_queryset(request).prefetch_related(Prefetch("steps", steps))

    @admin.display(description="for")
    def conditions(self, route: Route) -> str:
        """Destinations, senders and priorities, as far as there is room."""
        senders = ", ".join(route.senders.splitlines())
        parts = (("to", route.destinations), ("from", senders), ("priority", route.priorities))
        text = "; ".join(f"{word} {value}" for word, value in parts if value)
        return (text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…") or "any"

    @admin.display(description="steps")
    def ways(self, route: Route) -> str:
        """By position: those of one beside each other."""
        tiers: dict[int, list[str]] = {}
        for step in route.steps.all():
            tiers.setdefault(step.position, []).append(step.connection.name)
        return ", then ".join(" + ".join(names) for _, names in sorted(tiers.items())) or "-"
