"""Dead letters in the admin: messages that failed for good, and tasks and webhooks that nothing could process."""

import re

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch import numbers
from dispatch.admin.filters import ReasonFilter
from dispatch.admin.messages import link
from dispatch.models import DeadLetter
from sendmsg.admin import BigTableAdmin, ReadOnly, as_uuid

# A webhook that can't be read is kept as it came, and may name a recipient. Digits inside of an id are no number.
NUMBER = re.compile(r"(?<![\w-])\+?[0-9]{9,15}(?![\w-])")


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, BigTableAdmin):
    list_display = ("id", "reason", "about", "connection", "recipient", "queue", "created_at")
    list_filter = (ReasonFilter,)
    search_fields = ("message",)
    search_help_text = "The whole id of a message."
    fields = ("reason", "detail", "about", "connection", "recipient", "queue", "content", "created_at")
    readonly_fields = ("about", "connection", "recipient", "content", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """With messages and connections, without bodies and secrets."""
        rows: QuerySet[DeadLetter] = super().get_queryset(request)
        return rows.select_related("message__connection").defer("message__body", "message__connection__credentials")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        if not search_term:
            return queryset, False
        message_id = as_uuid(search_term)
        return (queryset.filter(message_id=message_id) if message_id else queryset.none()), False

    @admin.display(description="message")
    def about(self, letter: DeadLetter) -> str | SafeString:
        return link(letter.message_id)

    @admin.display(description="connection")
    def connection(self, letter: DeadLetter) -> str:
        return str(letter.message.connection or "-") if letter.message else "-"

    @admin.display(description="recipient")
    def recipient(self, letter: DeadLetter) -> str:
        return numbers.mask(letter.message.to) if letter.message else "-"

    @admin.display(description="task or webhook")
    def content(self, letter: DeadLetter) -> str | SafeString:
        """What arrived; of whole numbers only as much as anywhere else."""
        if not letter.task:
            return "-"
        text = NUMBER.sub(lambda found: numbers.mask(found[0]), letter.task)
        return format_html('<div class="verbatim">{}</div>', text)
