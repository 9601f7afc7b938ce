"""What an operator may write as a route: checked by `dispatch.conditions`, so that it means what it looks like."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from dispatch import conditions
from dispatch.models import Connection, Route, RouteStep
from dispatch.routes import PRIORITIES

if TYPE_CHECKING:
    _Form = forms.ModelForm[Route]
    _Formset = forms.BaseInlineFormSet[RouteStep, Route, forms.ModelForm[RouteStep]]
else:
    _Form = forms.ModelForm
    _Formset = forms.BaseInlineFormSet


class RouteForm(_Form):
    priorities = forms.MultipleChoiceField(
        choices=[(name, name) for name in PRIORITIES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: any.",
    )

    class Meta:
        model = Route
        fields = (
            "name",
            "position",
            "enabled",
            "account",
            "channel",
            "destinations",
            "senders",
            "priorities",
            "reroute_undelivered",
        )
        widgets = {
            "destinations": forms.Textarea(attrs={"rows": 2, "cols": 60, "spellcheck": "false"}),
            "senders": forms.Textarea(attrs={"rows": 3, "cols": 30, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["priorities"] = str(self.initial.get("priorities", "")).split()

    def clean_destinations(self) -> str:
        return conditions.destinations(self.cleaned_data["destinations"].replace(",", " ").split())

    def clean_priorities(self) -> str:
        return conditions.priorities(self.cleaned_data["priorities"])

    def clean(self) -> None:
        """Which senders there can be depends on the channel."""
        super().clean()
        lines = [line.strip() for line in self.cleaned_data.get("senders", "").splitlines() if line.strip()]
        try:
            self.cleaned_data["senders"] = conditions.senders_of(lines, self.cleaned_data.get("channel", ""))
        except ValidationError as error:
            self.add_error("senders", error)


class StepFormset(_Formset):
    """The steps of a route: one at least, and each able to take what the route gives it."""

    def clean(self) -> None:
        super().clean()
        steps = [form for form in self.forms if form.has_changed() or form.instance.pk]
        steps = [form for form in steps if form not in self.deleted_forms]
        if not steps and not any(self.errors):
            raise ValidationError("A route needs at least one step.")
        for form in steps:
            _check_step(form, self.instance.channel)


def _check_step(form: "forms.ModelForm[RouteStep]", channel: str) -> None:
    """`channel`: the route's."""
    connection: Connection | None = form.cleaned_data.get("connection")
    channel = form.cleaned_data.get("channel") or channel
    sender = form.cleaned_data.get("sender")
    if connection is not None:
        try:
            conditions.speaks(connection.provider, channel)
        except ValidationError as error:
            form.add_error("connection", error)
    if sender:
        try:
            form.instance.sender = conditions.sender(sender, channel)
        except ValidationError as error:
            form.add_error("sender", error)
