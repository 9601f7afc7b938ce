"""What an operator may say about a connection.

Credentials go in and never come out, not even those that were just typed and refused. What is saved is what the adapter
accepts.
"""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils import timezone

from dispatch.directory import Entry
from dispatch.models import Connection
from dispatch.providers import registry
from dispatch.providers.registry import PROVIDERS
from dispatch.vocabulary import UnknownPolicy
from sendmsg.errors import ConfigurationError, UnknownProvider

if TYPE_CHECKING:
    _Form = forms.ModelForm[Connection]
else:
    _Form = forms.ModelForm


class SecretInput(forms.Textarea):
    """A field that is always empty in the page, also when the form comes back with errors."""

    def format_value(self, value: Any) -> str | None:
        return None


class ConnectionForm(_Form):
    provider = forms.ChoiceField(choices=[(slug, slug) for slug in PROVIDERS])
    base_url = forms.URLField(
        label="Base URL",
        max_length=200,
        assume_scheme="https",
        validators=[URLValidator(schemes=["https", "http"])],
        widget=forms.URLInput(attrs={"class": "vURLField"}),
    )
    new_credentials = forms.JSONField(
        label="Credentials",
        widget=SecretInput(attrs={"class": "vLargeTextField", "rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text='A JSON object: {"api_key": "…"}. It replaces all that is stored; empty keeps that.',
    )

    class Meta:
        model = Connection
        # Without `credentials`: a form reads every field that it lists, and puts it into the page.
        fields = (
            "name",
            "provider",
            "base_url",
            "region",
            "sandbox",
            "enabled",
            "weight",
            "rate",
            "sender_rate",
            "concurrency",
            "unknown_policy",
            "unknown_wait",
            "unknown_then",
            "whatsapp_template",
            "receipt_wait",
        )
        labels = {
            "unknown_policy": "How to find out",
            "unknown_wait": "For how long",
            "unknown_then": "And then",
            "whatsapp_template": "Template",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_credentials"].required = self.instance.pk is None

    def clean_concurrency(self) -> int:
        concurrency: int = self.cleaned_data["concurrency"]
        if concurrency < 1:
            raise ValidationError("At least one call at a time; to stop, disable the connection.")
        return concurrency

    def clean_new_credentials(self) -> dict[str, Any] | None:
        """What was typed, or None to keep what is stored."""
        given = self.cleaned_data["new_credentials"]
        if given is not None and not isinstance(given, dict):
            raise ValidationError('A JSON object is needed: {"name": "value"}.')
        return given or None

    def clean_whatsapp_template(self) -> dict[str, str]:
        """A name and a language, or nothing."""
        given = self.cleaned_data["whatsapp_template"] or {}
        texts = isinstance(given, dict) and all(isinstance(value, str) and value.strip() for value in given.values())
        if not texts or (given and set(given) != {"name", "language"}):
            raise ValidationError('A name and a language are needed, or nothing: {"name": "notice", "language": "en"}.')
        return dict(given)

    def clean(self) -> None:
        """Whether the adapter would take it: a connection that can't be built serves no message."""
        super().clean()
        if not self.errors:
            self._check_policy()
            self._check_template()
            self._check_credentials()

    def _check_policy(self) -> None:
        """One that the provider can't serve would quietly be another."""
        slug = self.cleaned_data.get("provider", self.instance.provider)
        policy = self.cleaned_data["unknown_policy"]
        try:
            can = registry.get(slug).capabilities
        except UnknownProvider:
            return  # which is said of the provider
        if policy == UnknownPolicy.RESEND and not can.deduplicates:
            self.add_error(
                "unknown_policy",
                f"{slug} does not recognise a repeated message and would send it twice: choose auto, ask or wait.",
            )
        if policy == UnknownPolicy.ASK and not can.finds:
            self.add_error("unknown_policy", f"{slug} can't be asked for a message: choose auto or wait.")

    def _check_template(self) -> None:
        slug = self.cleaned_data.get("provider", self.instance.provider)
        try:
            able = registry.get(slug).capabilities.templates
        except UnknownProvider:
            return  # which is said of the provider
        if self.cleaned_data["whatsapp_template"] and not able:
            self.add_error("whatsapp_template", f"SendMSG sends no templates through {slug}: leave it empty.")

    def _check_credentials(self) -> None:
        wanted = {"name": self.instance.name, "provider": self.instance.provider, **self.cleaned_data}
        given = wanted.pop("new_credentials")
        try:
            credentials = given or self.instance.credentials
            entry = Entry(id=self.instance.pk or 0, credentials=credentials, updated_at=timezone.now(), **wanted)
            entry.build().close()
        except UnknownProvider as error:
            self.add_error("provider", error.detail)
        except ConfigurationError as error:  # also where the stored ones can't be read
            self.add_error("new_credentials", error.detail)
        else:
            self.instance.credentials = credentials
