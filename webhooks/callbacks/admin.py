"""Clients' endpoints in the admin: seen, enabled, disabled, and their failures sent again, but edited by nobody.

No page has a secret.
"""

from collections.abc import Callable
from typing import TypeVar

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch.admin.filters import AccountFilter, ModeFilter
from sendmsg.admin import BigTableAdmin, ReadOnly, as_uuid, badge
from webhooks.callbacks import endpoints, replays
from webhooks.callbacks.models import Endpoint
from webhooks.callbacks.settling import GIVE_UP
from webhooks.callbacks.vocabulary import CallbackState, DisabledReason, EndpointState

Done = TypeVar("Done")

SHOWN = 60  # characters of a URL in a list


@admin.register(Endpoint)
class EndpointAdmin(ReadOnly, BigTableAdmin):
    list_display = ("shortened", "account", "mode", "kind", "status", "disabled_reason", "failing_since", "created_at")
    list_filter = ("state", "disabled_reason", "kind", AccountFilter, ModeFilter)
    search_fields = ("id",)
    search_help_text = "A whole id, or a whole URL."
    actions = ("enable", "disable", "replay_failed")
    fieldsets = (
        (None, {"fields": ("account", "mode", "kind", "url", "event_types", "description", "compression")}),
        ("State", {"fields": ("status", "disabled_reason", "disabled_at")}),
        ("Health", {"fields": ("failures", "failing_since", "paused_until")}),
        ("Times (UTC)", {"fields": ("created_at", "updated_at")}),
    )
    readonly_fields = ("mode", "status", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        """Without secrets, and without those that their clients deleted."""
        rows: QuerySet[Endpoint] = super().get_queryset(request)
        return rows.exclude(state=EndpointState.DELETED).select_related("account").defer("secret", "old_secrets")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Endpoint], search_term: str
    ) -> tuple[QuerySet[Endpoint], bool]:
        if not search_term:
            return queryset, False
        found = as_uuid(search_term)
        return queryset.filter(Q(url=search_term) if found is None else Q(id=found)), False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whoever may change endpoints may operate them; nobody edits one."""
        return request.user.has_perm("webhooks.change_endpoint")

    @admin.action(description="Enable the selected endpoints, and forget their failures", permissions=["operate"])
    def enable(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        off = chosen.filter(state=EndpointState.DISABLED)
        self.message_user(request, f"Enabled: {len(self._each(request, off, endpoints.enable, 'Enabled.'))}.")

    @admin.action(description="Disable the selected endpoints, and give up what waits", permissions=["operate"])
    def disable(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        def act(endpoint: Endpoint) -> None:
            endpoints.disable(endpoint, DisabledReason.OPERATOR)

        on = chosen.filter(state=EndpointState.ENABLED)
        self.message_user(request, f"Disabled: {len(self._each(request, on, act, 'Disabled.'))}.")

    @admin.action(description="Send again what failed in the past five days", permissions=["operate"])
    def replay_failed(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        def act(endpoint: Endpoint) -> replays.Replayed:
            return replays.replay_since(endpoint, timezone.now() - GIVE_UP, CallbackState.FAILED)

        on = chosen.filter(state=EndpointState.ENABLED)
        found = self._each(request, on, act, "What failed was sent again.")
        self.message_user(request, f"Sent again: {sum(one.count for one in found)}.")
        if any(one.next_since for one in found):
            self.message_user(request, "There are more: do it again.", messages.WARNING)

    def _each(
        self, request: HttpRequest, chosen: QuerySet[Endpoint], act: Callable[[Endpoint], Done], said: str
    ) -> list[Done]:
        """Act on each row, locked and in a transaction of its own, with a line in the admin's log."""
        done: list[Done] = []
        for key in list(chosen.order_by("id").values_list("id", flat=True)):
            with transaction.atomic():
                row = chosen.select_related(None).select_for_update(no_key=True).filter(id=key).first()
                if row is not None:
                    done.append(act(row))
                    self.log_change(request, row, said)
        return done

    @admin.display(description="URL")
    def shortened(self, endpoint: Endpoint) -> SafeString:
        url = endpoint.url
        return format_html('<span title="{}">{}</span>', url, url if len(url) <= SHOWN else f"{url[:SHOWN]}…")

    @admin.display(description="state")
    def status(self, endpoint: Endpoint) -> SafeString:
        return badge(endpoint.state)

    @admin.display(description="mode")
    def mode(self, endpoint: Endpoint) -> str:
        return "test" if endpoint.test else "live"
