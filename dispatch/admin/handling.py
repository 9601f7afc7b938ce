"""Replaying and discarding dead letters in the admin: choose, see how many and what will happen, confirm.

The confirmation names the newest letter that was counted, so that none is taken along which came after it. Each letter
that was handled gets a line in the admin's log, in the transaction that handled it.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from dispatch import directory, replays
from dispatch.models import DeadLetter
from dispatch.replays import Result, Results
from sendmsg.admin import as_uuid

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[DeadLetter]
else:
    _Admin = object

MAX_AT_ONCE = 10_000  # letters; more would take longer than a browser waits

SAME = "="  # no connection has this name

Handler = Callable[[Collection[UUID]], Results]


class Wish(forms.Form):
    """What an operator says to a replay. `in_doubt`: how many of the chosen may have been sent."""

    note = forms.CharField(max_length=300, required=False, label="Why", widget=forms.TextInput(attrs={"size": 60}))
    even_if_sent = forms.BooleanField(required=False)
    field_order = ("connection", "even_if_sent", "note")

    def __init__(self, *args: Any, in_doubt: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if in_doubt:
            self.fields["even_if_sent"].label = f"Also the {in_doubt:,} that may have been sent: they may arrive twice"
        else:
            del self.fields["even_if_sent"]

    def handler(self, by: str) -> Handler:
        return lambda ids: replays.replay(ids, by, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """For `replays.replay`."""
        return {"note": self.cleaned_data["note"], "even_if_sent": self.cleaned_data.get("even_if_sent", False)}

    @property
    def said(self) -> str:
        return "Replayed"


class WishByAnother(Wish):
    """And by which connection."""

    connection = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._usable = {entry.name: entry for entry in directory.entries().values() if entry.enabled}
        self.fields["connection"].choices = [  # type: ignore[attr-defined]
            (SAME, "each by the connection that it went by"),
            *(
                (name, f"{name} ({entry.provider}{', sandbox' if entry.sandbox else ''})")
                for name, entry in sorted(self._usable.items())
                if not entry.fault
            ),
        ]

    def handler(self, by: str) -> Handler:
        if self.cleaned_data["connection"] == SAME:
            return lambda ids: replays.replay_by_same(ids, by, **self.options)
        via = self._usable[self.cleaned_data["connection"]]
        return lambda ids: replays.replay(ids, by, via=via, **self.options)

    @property
    def said(self) -> str:
        name = self.cleaned_data["connection"]
        return "Replayed by the same connection" if name == SAME else f"Replayed by {name}"


class WishToDiscard(Wish):
    """A reason is due: nobody will look at these again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["note"].required = True
        self.fields.pop("even_if_sent", None)

    def handler(self, by: str) -> Handler:
        return lambda ids: replays.discard(ids, by, note=self.cleaned_data["note"])

    @property
    def said(self) -> str:
        return "Discarded"


class Handling(_Admin):
    """The actions of the list; the page of one letter posts to them too."""

    actions = ("replay", "replay_by", "discard")

    def has_handle_permission(self, request: HttpRequest) -> bool:
        """Whoever may change dead letters may handle them; nobody edits one."""
        return request.user.has_perm("dispatch.change_deadletter")

    @admin.action(description="Replay…", permissions=["handle"])
    def replay(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self._confirm(request, letters, Wish, "Replay")

    @admin.action(description="Replay by a chosen connection…", permissions=["handle"])
    def replay_by(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self._confirm(request, letters, WishByAnother, "Replay by a chosen connection")

    @admin.action(description="Discard…", permissions=["handle"])
    def discard(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self._confirm(request, letters, WishToDiscard, "Discard")

    def _confirm(
        self, request: HttpRequest, letters: QuerySet[DeadLetter], form_class: type[Wish], title: str
    ) -> HttpResponse | None:
        """The page that asks; once it is answered, None: back to the list."""
        newest = as_uuid(request.POST.get("newest", "")) or letters.order_by("-id").values_list("id", flat=True).first()
        chosen = letters.filter(id__lte=newest)
        count = chosen.order_by()[: MAX_AT_ONCE + 1].count()
        if count > MAX_AT_ONCE:
            text = f"More than {MAX_AT_ONCE:,} at once: narrow it down, or use manage.py deadletters."
            self.message_user(request, text, messages.ERROR)
            return None
        in_doubt = replays.may_have_been_sent(chosen.order_by()).count()
        form = form_class(request.POST if "newest" in request.POST else None, in_doubt=in_doubt)
        if form.is_valid():
            self._handle(request, chosen, form)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.model._meta,
            "media": self.media,
            "form": form,
            "count": count,
            "in_doubt": in_doubt,
            "newest": newest,
            "action": request.POST.get("action"),
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox": ACTION_CHECKBOX_NAME,
            "sample": chosen.order_by("-id")[:10],
        }
        return TemplateResponse(request, "admin/dispatch/deadletter/confirm.html", context)

    def _handle(self, request: HttpRequest, letters: QuerySet[DeadLetter], form: Wish) -> None:
        act = form.handler(request.user.get_username())

        def act_and_log(ids: Collection[UUID]) -> Results:
            results = act(ids)
            done = [key for key, result in results.items() if result is Result.DONE]
            note = form.cleaned_data["note"]
            LogEntry.objects.log_actions(
                user_id=str(request.user.pk),
                queryset=DeadLetter.objects.filter(id__in=done),
                action_flag=CHANGE,
                change_message=f"{form.said}: {note}" if note else f"{form.said}.",
            )
            return results

        counts = Counter(result for results in replays.sweep(letters, act_and_log) for result in results.values())
        self.message_user(request, f"{form.said}: {counts.pop(Result.DONE, 0)}.", messages.SUCCESS)
        for result, count in counts.items():
            self.message_user(request, f"Left alone: {count} ({result.label}).", messages.WARNING)
