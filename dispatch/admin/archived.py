"""What the archive has of a message, on a page of its own: for messages that left the database, and for the older part
of a timeline. Whoever looks for a message that is not in the database any more is led there.

A page reads files of a day each from the storage, which takes seconds; so nothing of it is on the message's own page.
"""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from dispatch import numbers
from dispatch.models import Message
from dispatch.retention import history
from sendmsg.admin import READ_TEXT, as_uuid
from sendmsg.errors import ArchiveDamaged
from sendmsg.logs.archive import files
from sendmsg.logs.models import ArchiveFile

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Message]
else:
    _Admin = object

TEXTS = ("body", "body_length", "body_hash", "metadata")
"""For whoever may read texts."""
WORDS = ("error_detail", "detail", "note")
"""Of providers and operators, who may repeat a number."""
LISTS = ("attempts", "letters", "receipts", "provider_ids")


def is_archived(message_id: UUID) -> bool:
    """Whether the archive may have something of it. No while the logs database can't tell."""
    try:
        return files.enabled() and any(history.candidates(kind, message_id).exists() for kind in ArchiveFile.Kind)
    except Error:
        return False


class ArchivedPage(_Admin):
    """Adds the page to the admin of messages."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.archived_view)
        return [path("<uuid:message_id>/archived/", view, name="dispatch_message_archived"), *super().get_urls()]

    def archived_view(self, request: HttpRequest, message_id: UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not files.enabled():
            raise Http404("There is no archive.")
        context: dict[str, Any] = {**self.admin_site.each_context(request), "opts": self.opts, "id": message_id}
        try:
            found = history.fetch(message_id)
        except (ArchiveDamaged, OSError, Error) as error:
            context["failed"] = type(error).__name__
        else:
            if not found.found:
                raise Http404("Nothing is known of this message.")
            context |= {
                "history": found,
                "fields": _fields(found.message, request.user.has_perm(READ_TEXT)),
                "lists": _lists(found.message),
            }
        return TemplateResponse(
            request, "admin/dispatch/message/archived.html", {**context, "title": "Archived message"}
        )

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        message_id = as_uuid(object_id)
        if message_id is not None and is_archived(message_id):
            return HttpResponseRedirect(reverse("admin:dispatch_message_archived", args=[message_id]))
        missing: HttpResponse = super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[misc]
        return missing


def _fields(message: dict[str, Any] | None, texts: bool) -> dict[str, Any]:
    hidden = LISTS if texts else (*LISTS, *TEXTS)
    shown = {name: value for name, value in (message or {}).items() if name not in hidden and value not in (None, "")}
    if "to" in shown:
        shown["to"] = numbers.mask(shown["to"])
    return {name: _masked(name, value) for name, value in shown.items()}


def _lists(message: dict[str, Any] | None) -> dict[str, Any]:
    found = {name: message[name] for name in LISTS if message and message.get(name)}
    return {
        name: [{key: _masked(key, value) for key, value in row.items()} for row in rows] for name, rows in found.items()
    }


def _masked(name: str, value: Any) -> Any:
    return numbers.mask_within(value) if name in WORDS and isinstance(value, str) else value
