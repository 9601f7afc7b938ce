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
from dispatch.providers.registry import PROVIDERS
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
    credentials = forms.JSONField(
        required=False,
        widget=SecretInput(attrs={"class": "vLargeTextField", "rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text='A JSON object such as {"api_key": "…"}, which replaces all that is stored. Empty: nothing changes.',
    )

    class Meta:
        model = Connection
        fields = ("name", "provider", "base_url", "credentials", "sandbox", "enabled", "weight", "concurrency")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["credentials"] = None  # so that the stored ones neither reach the page nor count as changed

    def clean_concurrency(self) -> int:
        concurrency: int = self.cleaned_data["concurrency"]
        if concurrency < 1:
            raise ValidationError("At least one call at a time; to stop, disable the connection.")
        return concurrency

    def clean_credentials(self) -> dict[str, Any] | None:
        """What was typed, or None to keep what is stored."""
        given = self.cleaned_data["credentials"]
        if not given and self.instance.pk is None:
            raise ValidationError("A new connection needs credentials.")
        if given is not None and not isinstance(given, dict):
            raise ValidationError('A JSON object is needed: {"name": "value"}.')
        return given or None

    def clean(self) -> None:
        """Whether the adapter would take it: a connection that can't be built serves no message."""
        super().clean()
        if self.cleaned_data.get("credentials") is None:
            self.cleaned_data.pop("credentials", None)  # what is missing here is left alone by `save`
        if self.errors:
            return
        try:
            self._entry().build().close()
        except UnknownProvider as error:
            self.add_error("provider", error.detail)
        except ConfigurationError as error:
            self.add_error("credentials", error.detail)

    def _entry(self) -> Entry:
        """The connection as it would be after saving; `ConfigurationError` if stored credentials can't be read."""
        fields = {"name": self.instance.name, "provider": self.instance.provider, **self.cleaned_data}
        if "credentials" not in fields:
            fields["credentials"] = self.instance.credentials
        return Entry(id=self.instance.pk or 0, updated_at=timezone.now(), **fields)
