"""What was done in the admin, by whom, to what: Django's log as a page that nobody edits."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch.admin.filters import InputFilter
from sendmsg.admin import BigTableAdmin, ReadOnly


class UserFilter(InputFilter):
    title = "user (the whole name)"
    parameter_name = "user"
    input_type = "search"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        if not name:
            return queryset
        known = get_user_model().objects.filter(username=name.replace("\0", ""))
        return queryset.filter(user_id__in=list(known.values_list("pk", flat=True)))


@admin.register(LogEntry)
class AuditAdmin(ReadOnly, BigTableAdmin):
    list_display = ("action_time", "user", "what", "kind", "about", "change")
    list_display_links = None
    list_filter = (UserFilter, "action_flag")
    list_select_related = ("user", "content_type")
    search_fields = ("object_id",)
    search_help_text = "The whole id of what was changed."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LogEntry], search_term: str
    ) -> tuple[QuerySet[LogEntry], bool]:
        return (queryset.filter(object_id=search_term) if search_term else queryset), False

    @admin.display(description="action")
    def what(self, entry: LogEntry) -> str:
        return str(entry.get_action_flag_display()).lower()

    @admin.display(description="kind")
    def kind(self, entry: LogEntry) -> str:
        return entry.content_type.name if entry.content_type else "-"

    @admin.display(description="object")
    def about(self, entry: LogEntry) -> str | SafeString:
        url = entry.get_admin_url()
        return format_html('<a href="{}">{}</a>', url, entry.object_repr) if url else entry.object_repr

    @admin.display(description="change")
    def change(self, entry: LogEntry) -> str:
        return entry.get_change_message() or "-"
