"""What the admin pages of all apps have in common: the site's name, pages that only show, and tables of millions.

A page of a big table may only run queries that an index or a bound keeps short, whatever is clicked: no total count, no
sorting by any column, no lookups from the address bar beyond the filters on the page.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import OperationalError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from psycopg2.errors import QueryCanceled

from sendmsg.estimates import EstimatedCountPaginator

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin

READ_TEXT = "dispatch.read_text"
SAID = 60  # characters of a value in the admin's log

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


class Audited(_Admin):
    """For pages that are edited: the admin's log says what each changed field was and what it became.

    Of fields in `unsaid`, and of passwords, only that they changed.
    """

    unsaid: ClassVar[tuple[str, ...]] = ()

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        entries: list[dict[str, Any]] = super().construct_change_message(request, form, formsets, add)
        changed = [entry["changed"] for entry in entries if "changed" in entry]
        forms = [] if add or not form.changed_data else [form]
        for formset in formsets or ():
            of_row = {one.instance: one for one in formset.initial_forms}
            forms += [of_row[row] for row, _ in formset.changed_objects]
        for entry, one in zip(changed, forms, strict=True):
            entry["fields"] = [self._said(one, name) for name in one.changed_data]
        return entries

    def _said(self, form: Any, name: str) -> str:
        field = form.fields[name]
        label = str(form[name].label)
        if name in self.unsaid or isinstance(field.widget, forms.PasswordInput) or "password" in name:
            return label
        return f"{label}: {_spelled(field, form.initial.get(name))} → {_spelled(field, form.cleaned_data.get(name))}"


def _spelled(field: forms.Field, value: Any) -> str:
    """As a person would say it, and not at length."""
    if isinstance(field, forms.ModelChoiceField) and isinstance(value, int | str | UUID) and value != "":
        value = field.queryset.filter(pk=value).first() if field.queryset is not None else value
    if isinstance(value, list | tuple | QuerySet):
        value = ", ".join(str(one) for one in value)
    text = " ".join(str(value).split()) if value not in (None, "") else "empty"
    return text if len(text) <= SAID else f"{text[: SAID - 1]}…"


class Discreet(_Admin):
    """For pages that hold what people wrote: the fields in `texts` are for whoever may read texts."""

    texts: ClassVar[tuple[str, ...]] = ()

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        parts: Any = super().get_fieldsets(request, obj)
        if request.user.has_perm(READ_TEXT):
            return parts
        return [(name, {**options, "fields": self._without_texts(options["fields"])}) for name, options in parts]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "withheld")

    def _without_texts(self, names: Sequence[Any]) -> list[Any]:
        """The first is replaced by a word that there is something, the others are left out."""
        first = next((name for name in names if name in self.texts), None)
        kept = [name for name in names if name not in self.texts or name == first]
        return ["withheld" if name == first else name for name in kept]

    @admin.display(description="text")
    def withheld(self, row: Model) -> str:
        return "Not shown: your role may not read texts."


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
