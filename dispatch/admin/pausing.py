"""Pausing and resuming connections in the admin: with a reason, in their history and in the admin's log."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from dispatch import history
from dispatch.models import Connection

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Connection]
else:
    _Admin = object


class Reason(forms.Form):
    reason = forms.CharField(
        max_length=history.REASON_LENGTH, label="Why", widget=forms.TextInput(attrs={"size": 60, "autofocus": True})
    )


class Pausing(_Admin):
    """The actions of the list; the page of one connection posts to them too."""

    actions = ("pause", "resume")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which would collect the messages of each."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    @admin.action(description="Pause…", permissions=["change"])
    def pause(self, request: HttpRequest, connections: QuerySet[Connection]) -> HttpResponse | None:
        """The page that asks why; once that is said, None: back to the list."""
        form = Reason(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            done = [row for row in connections if history.pause(row, request.user.get_username(), reason)]
            self._say(request, done, f"Paused: {reason}", "Paused")
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Pause connections",
            "opts": self.model._meta,
            "media": self.media,
            "form": form,
            "connections": connections,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/dispatch/connection/pause.html", context)

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, connections: QuerySet[Connection]) -> None:
        done = [row for row in connections if history.resume(row, request.user.get_username())]
        self._say(request, done, "Resumed.", "Resumed")

    def _say(self, request: HttpRequest, done: list[Connection], entry: str, word: str) -> None:
        for row in done:
            self.log_change(request, row, entry)
        names = ", ".join(row.name for row in done)
        self.message_user(request, f"{word}: {names or 'none'}.", messages.SUCCESS if done else messages.WARNING)
