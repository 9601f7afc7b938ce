"""Messages in the admin: found by what a customer can tell, shown with all that happened to them, changed by nobody.

A recipient is shown masked, everywhere; whoever knows the whole number can search for it. The body is shown on a
message's own page only. The timeline comes from the logs database, and its absence is said, not suffered.
"""

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch import numbers
from dispatch.admin.ages import AgeFilter, DayFilter
from dispatch.admin.archived import ArchivedPage, is_archived
from dispatch.admin.filters import BroadcastFilter, ConnectionFilter, ErrorCodeFilter, ModeFilter, ProviderFilter
from dispatch.admin.recent import MessageList
from dispatch.admin.search import matching
from dispatch.admin.story import story
from dispatch.admin.timeline import timeline
from dispatch.models import Attempt, DeadLetter, Message
from dispatch.vocabulary import LetterState
from sendmsg.admin import BigTableAdmin, Discreet, ReadOnly, badge
from sendmsg.sealing.fields import unreadable

if TYPE_CHECKING:
    _AttemptInline = admin.TabularInline[Attempt, Message]
else:
    _AttemptInline = admin.TabularInline


def link(message_id: UUID | None) -> str | SafeString:
    """A short id that leads to the message."""
    if message_id is None:
        return "-"
    url = reverse("admin:dispatch_message_change", args=[message_id])
    return format_html('<a class="number" href="{}" title="{}">{}</a>', url, message_id, short(message_id))


def short(message_id: UUID) -> str:
    """Both ends of an id: the first is the time, the last is chance."""
    return f"{str(message_id)[:8]}…{str(message_id)[-6:]}"


class AttemptInline(ReadOnly, _AttemptInline):
    model = Attempt
    fields = ("number", "connection", "started_at", "took", "result", "code", "said")
    readonly_fields = ("took", "result", "said")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        """With their connections, without the connections' secrets."""
        rows = super().get_queryset(request)
        return rows.select_related("connection").defer("connection__credentials").order_by("number")

    @admin.display(description="took")
    def took(self, attempt: Attempt) -> str:
        if attempt.finished_at is None:
            return "-"
        return f"{(attempt.finished_at - attempt.started_at).total_seconds():.3f} s"

    @admin.display(description="outcome")
    def result(self, attempt: Attempt) -> str | SafeString:
        return badge(attempt.outcome) if attempt.outcome else "under way"

    @admin.display(description="detail")
    def said(self, attempt: Attempt) -> str:
        """In the provider's words, which may repeat a number."""
        return numbers.mask_within(attempt.detail) or "-"


@admin.register(Message)
class MessageAdmin(ReadOnly, Discreet, ArchivedPage, BigTableAdmin):
    """The messages of all accounts."""

    list_display = ("short_id", "account", "recipient", "channel", "status", "connection", "error_code", "created_at")
    list_filter = (
        "state",
        ConnectionFilter,
        ProviderFilter,
        ErrorCodeFilter,
        AgeFilter,
        DayFilter,
        ModeFilter,
        BroadcastFilter,
        "channel",
        "priority",
    )
    search_fields = ("id",)
    search_help_text = "A whole id, number or client reference."
    inlines: ClassVar[list[Any]] = [AttemptInline]
    """Other apps put in what belongs to a message; imports go one way, so they come here and are not fetched."""

    fieldsets = (
        (None, {"fields": ("id", "account", "mode", "status", "connection", "provider_ids")}),
        ("Content", {"fields": ("channel", "recipient", "sender", "text", "size", "client_reference", "metadata")}),
        ("Delivery", {"fields": ("priority", "tries", "doubt", "chosen_connection", "error_code", "error_said")}),
        (
            "Times (UTC)",
            {"fields": ("created_at", "send_at", "due_at", "lease_until", "expires_at", "updated_at")},
        ),
    )
    readonly_fields = ("id", "mode", "status", "provider_ids", "recipient", "text", "size", "doubt", "error_said")
    texts = ("text", "metadata")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """With accounts and connections, without the connections' secrets: decrypting them costs, and may fail."""
        rows: QuerySet[Message] = super().get_queryset(request)
        return rows.select_related("account", "connection", "chosen_connection").defer(
            "connection__credentials", "chosen_connection__credentials"
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return MessageList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        return (queryset.filter(pk__in=matching(search_term)) if search_term else queryset), False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        message: Message = context["original"]
        context["timeline"] = timeline(message)
        context["story"] = story(message, context["timeline"])
        context["letter"] = self._open_letter(request, message)
        context["archived"] = is_archived(message.id)
        return super().render_change_form(request, context, *args, **kwargs)

    def _open_letter(self, request: HttpRequest, message: Message) -> DeadLetter | None:
        """The letter to replay or discard it by; None if there is none, or it is not for this user."""
        if not request.user.has_perm("dispatch.change_deadletter"):
            return None
        return message.dead_letters.filter(state=LetterState.OPEN).only("id").first()

    @admin.display(description="id")
    def short_id(self, message: Message) -> SafeString:
        return format_html('<span class="number" title="{}">{}</span>', message.id, short(message.id))

    @admin.display(description="recipient")
    def recipient(self, message: Message) -> str:
        return numbers.mask(message.to)

    @admin.display(description="state")
    def status(self, message: Message) -> SafeString:
        return badge(message.state)

    @admin.display(description="mode")
    def mode(self, message: Message) -> str:
        return "test" if message.test else "live"

    @admin.display(description="body")
    def text(self, message: Message) -> SafeString:
        if unreadable(message.body):
            return format_html("{}", "It can't be decrypted: this process has not the key of texts.")
        whole = message.body_length is None
        rest = "" if whole else f"… (of {message.body_length} characters; the rest is not kept)"
        return format_html('<div class="verbatim" dir="auto">{}{}</div>', message.body, rest)

    @admin.display(description="size")
    def size(self, message: Message) -> str:
        return f"{message.segments} segment{'s' if message.segments > 1 else ''}, {message.encoding}"

    @admin.display(description="in doubt")
    def doubt(self, message: Message) -> str:
        return "yes: an attempt that nobody knows the outcome of may have sent it" if message.in_doubt else "no"

    @admin.display(description="error detail")
    def error_said(self, message: Message) -> str:
        return numbers.mask_within(message.error_detail) or "-"

    @admin.display(description="provider's ids")
    def provider_ids(self, message: Message) -> str:
        return ", ".join(message.references.values_list("value", flat=True)) or "-"
