"""A broadcast from a file: upload a table, look at what would become of it, and confirm.

Between the pages the file is a row (`BroadcastDraft`), because the next request may reach another host; it is gone once
it is confirmed or dropped, and at the latest when somebody uploads the day after. Rules, texts and costs on the preview
are worked out by what will make the messages.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from dispatch import acceptance, numbers
from dispatch.bulk import broadcasts, lists
from dispatch.bulk.broadcast_serializers import MAX_NAME, BroadcastFields
from dispatch.bulk.texts import Text
from dispatch.models import Broadcast, BroadcastDraft
from dispatch.serializers import PRIORITIES
from dispatch.vocabulary import Channel
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.models import Account
from sendmsg.api.authentication import Client
from sendmsg.api.problems import Problem, to_problem

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Broadcast]
else:
    _Admin = object

MAX_FILE: Final = 8_388_608  # bytes; 100,000 numbers are two millions
KEPT: Final = timedelta(days=1)  # how long a draft may be thought about
SAMPLE: Final = 5  # texts that the preview shows
LISTED: Final = 20  # rejections that it shows


class UploadForm(forms.Form):
    """What `POST /v1/broadcasts` takes, judged by the same rules, and a file in place of `recipients`."""

    account = forms.ModelChoiceField(Account.objects.order_by("name"))
    mode = forms.ChoiceField(choices=[("live", "live"), ("test", "test: only ever reaches a sandbox")])
    name = forms.CharField(max_length=MAX_NAME, required=False)
    channel = forms.ChoiceField(choices=Channel.choices)
    sender = forms.CharField(max_length=20, required=False, help_text="Empty: the account's.")
    body = forms.CharField(
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60}),
        help_text="{{name}} stands for what the column of that name says.",
    )
    priority = forms.ChoiceField(choices=[(name, name) for name in PRIORITIES], initial="bulk")
    send_at = forms.CharField(required=False, help_text="2030-01-01T09:00:00Z. Empty: now.")
    valid_for = forms.IntegerField(required=False, help_text="Seconds in which they may be tried. Empty: the default.")
    list = forms.FileField(help_text="CSV in UTF-8: a header with the column to, then a row for each recipient.")

    def clean_body(self) -> str:
        """Browsers end lines with two characters, and each is paid for."""
        return str(self.cleaned_data["body"]).replace("\r\n", "\n")

    def clean_list(self) -> bytes:
        file = self.cleaned_data["list"]
        if file.size > MAX_FILE:
            raise forms.ValidationError(f"At most {MAX_FILE // 1_048_576} MB: split it, or use the API.")
        content: bytes = file.read()
        return content

    def clean(self) -> None:
        """By the rules of the API; what they say is said at the field."""
        super().clean()
        given = self.cleaned_data
        names = {"from": "sender", **{name: name for name in ("body", "channel", "priority", "name")}}
        names |= {name: name for name in ("send_at", "valid_for")}
        fields = {name: given[field] for name, field in names.items() if given.get(field) not in (None, "")}
        if self.errors:
            return
        rules = BroadcastFields(data=fields)
        if not rules.is_valid():
            for field, errors in rules.errors.items():
                self.add_error(names.get(field), [str(error) for error in errors])
        self.cleaned_data["fields"] = fields


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a draft. `sample`: masked numbers, texts and segments of the first good rows."""

    columns: list[str]
    unused: list[str]
    tally: broadcasts.Tally
    sample: list[tuple[str, str, int]]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """How many were rejected for what, the most frequent first."""
        return self.tally.reasons.most_common()


def preview(draft: BroadcastDraft) -> Preview:
    """Reads the whole file. Raises Problem where that can't be done."""
    text = Text(draft.fields["body"], draft.fields["channel"])
    subject = acceptance.subject_of(_client_of(draft), {**draft.fields, "to": ""})
    _, first = next(lists.lines(BytesIO(draft.content)), (1, ""))
    columns, _ = lists.header(first, 1)
    tally = broadcasts.Tally()
    sample: list[tuple[str, str, int]] = []
    for one in broadcasts.examine(subject, text.body, _entries(draft), tally):
        if len(sample) < SAMPLE:
            sample.append((numbers.mask(one.to), one.body, one.segments))
    unused = [name for name in columns if name not in (*text.names, *lists.COLUMNS)]
    return Preview(columns, unused, tally, sample)


class Uploading(_Admin):
    """The pages between the list and a new broadcast."""

    def has_upload_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("dispatch.add_broadcast")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("upload/", wrap(self.upload_view), name="dispatch_broadcast_upload"),
            path("upload/<uuid:draft_id>/", wrap(self.preview_view), name="dispatch_broadcast_preview"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = self.has_upload_permission(request)
        return super().changelist_view(request, {**(extra_context or {}), "has_upload_permission": may})

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        self._allow(request)
        form = UploadForm(request.POST or None, request.FILES or None)
        if form.is_valid():
            BroadcastDraft.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
            given = form.cleaned_data
            draft = BroadcastDraft(
                user_id=_id_of(request),
                account=given["account"],
                test=given["mode"] == "test",
                fields=given["fields"],
                content=given["list"],
            )
            try:
                preview(draft)
            except Problem as problem:
                form.add_error("list", _said(problem))
            else:
                draft.save()
                return HttpResponseRedirect(reverse("admin:dispatch_broadcast_preview", args=[draft.id]))
        return self._page(request, "upload", {"title": "Upload a broadcast", "form": form})

    def preview_view(self, request: HttpRequest, draft_id: UUID) -> HttpResponse:
        """Shows a draft of one's own; a POST makes it a broadcast, once, or drops it."""
        self._allow(request)
        with transaction.atomic():
            mine = BroadcastDraft.objects.select_for_update(of=("self",)).select_related("account")
            draft = mine.filter(pk=draft_id, user_id=_id_of(request)).first()
            if draft is None:
                self.message_user(request, "That list is gone: it was confirmed or dropped.", messages.WARNING)
                return HttpResponseRedirect(reverse("admin:dispatch_broadcast_changelist"))
            if request.method == "POST":
                return self._confirm(request, draft)
        context = {"title": "Send this broadcast?", "draft": draft, "preview": preview(draft), "listed": LISTED}
        return self._page(request, "preview", context)

    def _confirm(self, request: HttpRequest, draft: BroadcastDraft) -> HttpResponse:
        draft_id = draft.pk
        if "drop" in request.POST:
            draft.delete()
            return HttpResponseRedirect(reverse("admin:dispatch_broadcast_changelist"))
        try:
            with transaction.atomic():
                broadcast = _create(draft)
                LogEntry.objects.log_actions(
                    user_id=str(request.user.pk),
                    queryset=Broadcast.objects.filter(pk=broadcast.pk),
                    action_flag=ADDITION,
                    change_message=f"Uploaded: {broadcast.recipients} recipients.",
                    single_object=True,
                )
                draft.delete()
        except (broadcasts.Refused, Problem) as error:
            text = _said(error) if isinstance(error, Problem) else "No recipient can be accepted."
            self.message_user(request, f"Nothing was sent. {text}", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:dispatch_broadcast_preview", args=[draft_id]))
        self.message_user(request, f"{broadcast.recipients:,} messages are on their way.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:dispatch_broadcast_change", args=[broadcast.pk]))

    def _allow(self, request: HttpRequest) -> None:
        if not self.has_upload_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.model._meta, "media": self.media}
        return TemplateResponse(request, f"admin/dispatch/broadcast/{template}.html", {**shared, **context})


def _create(draft: BroadcastDraft) -> Broadcast:
    """Judged anew: its time may have passed since."""
    rules = BroadcastFields(data=draft.fields)
    try:
        rules.is_valid(raise_exception=True)
    except ValidationError as error:
        raise to_problem(error) from None
    return broadcasts.create(_client_of(draft), rules.validated_data, _entries(draft))


def _client_of(draft: BroadcastDraft) -> Client:
    mode = Mode.TEST if draft.test else Mode.LIVE
    return Client(draft.account_id, draft.id, mode, frozenset(), draft.account.default_sender)


def _entries(draft: BroadcastDraft) -> Iterable[lists.Entry | lists.Fault]:
    return lists.from_csv(lists.lines(BytesIO(draft.content)))


def _id_of(request: HttpRequest) -> int:
    return int(request.user.pk or 0)


def _said(problem: Problem) -> str:
    return "; ".join(error.detail for error in problem.errors) or str(problem.detail)
