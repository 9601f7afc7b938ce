"""Dead letters in the admin: messages that failed for good, and tasks and webhooks that nothing could process.

Nobody edits one; what can be done with them is in `dispatch.admin.handling`.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch import numbers
from dispatch.admin.ages import AgeFilter, DayFilter
from dispatch.admin.filters import AccountFilter, ConnectionFilter, ModeFilter, ProviderFilter, ReasonFilter
from dispatch.admin.handling import Handling
from dispatch.admin.messages import link, short
from dispatch.models import Attempt, DeadLetter, Message
from dispatch.vocabulary import LetterState
from sendmsg.admin import BigTableAdmin, Discreet, ReadOnly, as_uuid, badge

MAX_ATTEMPTS = 20  # beside each other; the message's own page has all


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, Handling, Discreet, BigTableAdmin):
    list_display = (
        "short_id",
        "reason",
        "about",
        "account",
        "connection",
        "recipient",
        "queue",
        "status",
        "handled_by",
        "created_at",
    )
    list_filter = (
        ReasonFilter,
        "state",
        ConnectionFilter,
        ProviderFilter,
        AccountFilter,
        AgeFilter,
        DayFilter,
        ModeFilter,
    )
    search_fields = ("message",)
    search_help_text = "The whole id of a message."
    fieldsets = (
        (None, {"fields": ("reason", "said", "about", "account", "connection", "recipient", "queue", "content")}),
        ("Handling", {"fields": ("status", "handled_at", "handled_by", "note")}),
        ("Times (UTC)", {"fields": ("created_at",)}),
    )
    readonly_fields = ("said", "about", "recipient", "content", "status", "created_at")
    texts = ("content",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """With accounts, messages and connections, without bodies and secrets."""
        rows: QuerySet[DeadLetter] = super().get_queryset(request)
        return rows.select_related("account", "message", "connection").defer("message__body", "connection__credentials")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        if not search_term:
            return queryset, False
        message_id = as_uuid(search_term)
        return (queryset.filter(message_id=message_id) if message_id else queryset.none()), False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        letter: DeadLetter = context["original"]
        context["attempts"] = _side_by_side(letter.message) if letter.message else []
        if letter.state == LetterState.OPEN:
            context["handling"] = self._offers(request, letter)
        return super().render_change_form(request, context, *args, **kwargs)

    def _offers(self, request: HttpRequest, letter: DeadLetter) -> list[tuple[str, str]]:
        """What may be done with this one, by name of the action."""
        offered = self.get_action_choices(request, default_choices=[])
        return offered if letter.message_id else [(name, label) for name, label in offered if name == "discard"]

    @admin.display(description="id")
    def short_id(self, letter: DeadLetter) -> SafeString:
        return format_html('<span class="number" title="{}">{}</span>', letter.id, short(letter.id))

    @admin.display(description="state")
    def status(self, letter: DeadLetter) -> SafeString:
        return badge(letter.state)

    @admin.display(description="message")
    def about(self, letter: DeadLetter) -> str | SafeString:
        return link(letter.message_id)

    @admin.display(description="recipient")
    def recipient(self, letter: DeadLetter) -> str:
        return numbers.mask(letter.message.to) if letter.message else "-"

    @admin.display(description="task or webhook")
    def content(self, letter: DeadLetter) -> str | SafeString:
        """What arrived; of whole numbers only as much as anywhere else."""
        if not letter.task:
            return "-"
        return format_html('<div class="verbatim">{}</div>', numbers.mask_within(letter.task))

    @admin.display(description="detail")
    def said(self, letter: DeadLetter) -> str:
        """In the provider's words, which may repeat a number."""
        return numbers.mask_within(letter.detail) or "-"


def _side_by_side(message: Message) -> list[tuple[str, list[str | SafeString]]]:
    """The newest attempts of a message, oldest first: a row a fact, a column an attempt."""
    rows = Attempt.objects.filter(message=message).select_related("connection").defer("connection__credentials")
    tries = sorted(rows.order_by("-number")[:MAX_ATTEMPTS], key=lambda attempt: attempt.number)
    return [(name, [fact(attempt) for attempt in tries]) for name, fact in _FACTS] if tries else []


def _took(attempt: Attempt) -> str:
    return f"{(attempt.finished_at - attempt.started_at).total_seconds():.3f} s" if attempt.finished_at else "-"


_FACTS: Sequence[tuple[str, Any]] = (
    ("Number", lambda attempt: str(attempt.number)),
    ("Connection", lambda attempt: str(attempt.connection)),
    ("Started", lambda attempt: f"{attempt.started_at:%Y-%m-%d %H:%M:%S}"),
    ("Took", _took),
    ("Outcome", lambda attempt: badge(attempt.outcome) if attempt.outcome else "under way"),
    ("Code", lambda attempt: attempt.code or "-"),
    ("Detail", lambda attempt: numbers.mask_within(attempt.detail) or "-"),
)
