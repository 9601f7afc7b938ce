"""Pausing, resuming and weighing connections in the admin: in their history and in the admin's log.

It takes a permission of its own: whoever keeps traffic flowing needs no credentials.
"""

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

MAX_WEIGHT = 32_767  # what the column holds


class Reason(forms.Form):
    reason = forms.CharField(
        max_length=history.REASON_LENGTH, label="Why", widget=forms.TextInput(attrs={"size": 60, "autofocus": True})
    )


class Weight(forms.Form):
    weight = forms.IntegerField(min_value=0, max_value=MAX_WEIGHT, label="New weight")


class Operating(_Admin):
    """The actions of the list; the page of one connection posts to them too."""

    actions = ("pause", "resume", "weigh")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which would collect the messages of each."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("dispatch.operate_connection") or self.has_change_permission(request)

    @admin.action(description="Pause…", permissions=["operate"])
    def pause(self, request: HttpRequest, connections: QuerySet[Connection]) -> HttpResponse | None:
        """The page that asks why; once that is said, None: back to the list."""
        form = Reason(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            done = [row for row in connections if history.pause(row, request.user.get_username(), reason)]
            self._say(request, done, f"Paused: {reason}", "Paused")
            return None
        return self._ask(request, connections, form, "pause", "Pause connections")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, connections: QuerySet[Connection]) -> None:
        done = [row for row in connections if history.resume(row, request.user.get_username())]
        self._say(request, done, "Resumed.", "Resumed")

    @admin.action(description="Weigh…", permissions=["operate"])
    def weigh(self, request: HttpRequest, connections: QuerySet[Connection]) -> HttpResponse | None:
        """The page that asks how much; once that is said, None: back to the list."""
        form = Weight(request.POST if "weight" in request.POST else None)
        if form.is_valid():
            weight = form.cleaned_data["weight"]
            done = [row for row in connections if history.weigh(row, weight, request.user.get_username())]
            for row in done:
                self.log_change(request, row, f"Weight: {row.weight} → {weight}.")
            self._tell(request, done, "Weighed")
            return None
        return self._ask(request, connections, form, "weigh", "Weigh connections")

    def _ask(
        self, request: HttpRequest, connections: QuerySet[Connection], form: forms.Form, action: str, title: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.model._meta,
            "media": self.media,
            "form": form,
            "connections": connections,
            "checkbox": ACTION_CHECKBOX_NAME,
            "action": action,
        }
        return TemplateResponse(request, "admin/dispatch/connection/operate.html", context)

    def _say(self, request: HttpRequest, done: list[Connection], entry: str, word: str) -> None:
        for row in done:
            self.log_change(request, row, entry)
        self._tell(request, done, word)

    def _tell(self, request: HttpRequest, done: list[Connection], word: str) -> None:
        names = ", ".join(row.name for row in done)
        self.message_user(request, f"{word}: {names or 'none'}.", messages.SUCCESS if done else messages.WARNING)
