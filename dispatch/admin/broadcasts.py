"""Broadcasts in the admin: how far each has come, and pausing, resuming and canceling them.

New ones come from lists that are uploaded (`dispatch.admin.broadcast_upload`). Numbers of recipients are on no page.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dispatch.admin.broadcast_upload import Uploading
from dispatch.admin.filters import AccountFilter, ModeFilter
from dispatch.admin.messages import short
from dispatch.bulk import broadcasts
from dispatch.models import Broadcast
from dispatch.vocabulary import BroadcastState
from sendmsg.admin import BigTableAdmin, Discreet, ReadOnly, badge

REFRESH = 5  # seconds after which the page of one that is not over is read again
DONE = {"pause": "Paused", "resume": "Resumed", "cancel": "Canceled"}
OFFERED = {
    BroadcastState.RUNNING: ("pause", "cancel"),
    BroadcastState.PAUSED: ("resume", "cancel"),
}
"""What can be done in a state; in the others, nothing."""


@admin.register(Broadcast)
class BroadcastAdmin(ReadOnly, Uploading, Discreet, BigTableAdmin):
    list_display = (
        "short_id",
        "name",
        "account",
        "mode",
        "status",
        "channel",
        "priority",
        "recipients",
        "rejected",
        "created_at",
    )
    list_filter = ("state", AccountFilter, ModeFilter)
    list_select_related = ("account",)
    actions = ("pause", "resume", "cancel")
    fieldsets = (
        (None, {"fields": ("id", "name", "account", "mode", "status", "progress")}),
        ("Content", {"fields": ("channel", "sender", "text", "priority", "segments")}),
        ("List", {"fields": ("recipients", "duplicates", "rejected", "reasons")}),
        ("Times (UTC)", {"fields": ("created_at", "send_at", "expires_at", "finished_at")}),
    )
    readonly_fields = ("id", "mode", "status", "progress", "text", "reasons")
    texts = ("text",)

    def has_handle_permission(self, request: HttpRequest) -> bool:
        """Whoever may change broadcasts may pause, resume and cancel them; nobody edits one."""
        return request.user.has_perm("dispatch.change_broadcast")

    @admin.action(description="Pause", permissions=["handle"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Broadcast]) -> None:
        self._move(request, chosen, "pause")

    @admin.action(description="Resume", permissions=["handle"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Broadcast]) -> None:
        self._move(request, chosen, "resume")

    @admin.action(description="Cancel…", permissions=["handle"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Broadcast]) -> HttpResponse | None:
        """Asks first: what is taken back can't be brought back."""
        if "confirmed" in request.POST:
            self._move(request, chosen, "cancel")
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Cancel broadcasts",
            "opts": self.model._meta,
            "media": self.media,
            "chosen": chosen.select_related("account"),
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/dispatch/broadcast/confirm.html", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        broadcast: Broadcast = context["original"]
        if broadcast.state not in (BroadcastState.CANCELED, BroadcastState.FINISHED):
            context["refresh"] = REFRESH
        if self.has_handle_permission(request):
            labels = dict(self.get_action_choices(request, default_choices=[]))
            offered = OFFERED.get(BroadcastState(broadcast.state), ())
            context["handling"] = [(name, labels[name]) for name in offered]
        return super().render_change_form(request, context, *args, **kwargs)

    def _move(self, request: HttpRequest, chosen: QuerySet[Broadcast], what: str) -> None:
        late = 0
        for broadcast in chosen.order_by("id"):
            with transaction.atomic():
                if not broadcasts.move(broadcast.id, what):
                    late += 1
                    continue
                LogEntry.objects.log_actions(
                    user_id=str(request.user.pk),
                    queryset=Broadcast.objects.filter(pk=broadcast.pk),
                    action_flag=CHANGE,
                    change_message=f"{DONE[what]}.",
                    single_object=True,
                )
        self.message_user(request, f"{DONE[what]}: {chosen.count() - late}.", messages.SUCCESS)
        if late:
            self.message_user(request, f"Left alone: {late} (over already).", messages.WARNING)

    @admin.display(description="id")
    def short_id(self, broadcast: Broadcast) -> SafeString:
        return format_html('<span class="number" title="{}">{}</span>', broadcast.id, short(broadcast.id))

    @admin.display(description="mode")
    def mode(self, broadcast: Broadcast) -> str:
        return "test" if broadcast.test else "live"

    @admin.display(description="state")
    def status(self, broadcast: Broadcast) -> SafeString:
        return badge(broadcast.state)

    @admin.display(description="messages")
    def progress(self, broadcast: Broadcast) -> SafeString:
        """How many are in each state, and their share of all."""
        rows = [
            (badge(state), f"{number:,}", f"{100 * number / max(broadcast.recipients, 1):.1f} %")
            for state, number in broadcasts.counts(broadcast.id).items()
        ]
        cells = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', rows)
        its_messages = f"{reverse('admin:dispatch_message_changelist')}?broadcast={broadcast.pk}"
        return format_html('<table id="progress">{}</table><a href="{}">Look at them</a>', cells, its_messages)

    @admin.display(description="body")
    def text(self, broadcast: Broadcast) -> SafeString:
        return format_html('<div class="verbatim" dir="auto">{}</div>', broadcast.body)

    @admin.display(description="first rejected")
    def reasons(self, broadcast: Broadcast) -> str | SafeString:
        """Lines, fields and codes: what stood there is not kept."""
        if not broadcast.rejections:
            return "-"
        lines = ((one["line"], one["field"], one["code"], one["detail"]) for one in broadcast.rejections)
        return format_html('<div class="verbatim">{}</div>', format_html_join("\n", "line {}: {} {}: {}", lines))
