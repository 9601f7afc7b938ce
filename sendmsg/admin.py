"""What the admin pages of all apps have in common: the site's name, pages that only show, and tables of millions.

A page of a big table may only run queries that an index or a bound keeps short, whatever is clicked: no total count, no
sorting by any column, no lookups from the address bar beyond the filters on the page.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import OperationalError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from psycopg2.errors import QueryCanceled

from sendmsg.estimates import EstimatedCountPaginator

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin

admin.site.site_header = "SendMSG"
admin.site.site_title = "SendMSG"
admin.site.index_title = "Operations"
admin.site.site_url = None  # there is no other site to view
admin.site.enable_nav_sidebar = False  # the lists need the width


class ReadOnly:
    """For pages and inlines that show what happened: nobody adds, changes or deletes it by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class BigChangeList(ChangeList):
    """A list that is never longer than its bound, and that offers "show all" only where something is hidden."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # Django leaves the limit away where all seems to fit on one page, and an estimate can be far too low.
        self.result_list = self.result_list[: self.list_max_show_all]
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class BigTableAdmin(_Admin):
    """A list that stays quick over millions of rows, newest first."""

    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()
    paginator = EstimatedCountPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css: ClassVar[Mapping[str, tuple[str, ...]]] = {"all": ("sendmsg/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BigChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what the page offers. Django takes any column of the model: that could scan, and unmask numbers."""
        return lookup in {getattr(offered, "parameter_name", f"{offered}__exact") for offered in self.list_filter}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; one whose filters no index helps, and that ran into the statement timeout, says so."""
        try:
            return super().changelist_view(request, extra_context)
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled) or not request.GET:
                raise
        self.message_user(request, "That took too long. Narrow it down, for example to a day.", messages.WARNING)
        return HttpResponseRedirect(request.path)


def badge(word: str) -> SafeString:
    """A state or an outcome, with a dot of its colour (`sendmsg/admin.css`)."""
    return format_html('<span class="state state-{}">{}</span>', word, word.replace("_", " "))


def as_uuid(text: str) -> UUID | None:
    """The id that `text` spells, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None
