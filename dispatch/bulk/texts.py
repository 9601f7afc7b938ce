"""The text of a broadcast: `{{name}}` stands for what the list says of each recipient.

Plain substitution in one pass: a value that looks like a placeholder is text, and there is no logic and no escape.
"""

import re
from collections.abc import Mapping
from typing import Final

from dispatch.validation import measure

_PLACEHOLDER: Final = re.compile(r"\{\{ *([A-Za-z][A-Za-z0-9_]{0,39}) *\}\}")


class InvalidText(ValueError):
    """A text with braces that are no placeholder, which would reach recipients as they stand."""


class ValueMissing(ValueError):
    """A recipient without a value for the placeholder `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Text:
    """A text and its placeholders; without any, it is measured once and the same for all."""

    def __init__(self, body: str, channel: str) -> None:
        """Raises InvalidText, and InvalidBody for a text without placeholders that no message can have."""
        self.body = body
        self.names = tuple(dict.fromkeys(_PLACEHOLDER.findall(body)))
        self._channel = channel
        if "{{" in _PLACEHOLDER.sub("", body):
            raise InvalidText("A placeholder is {{name}}: a letter, then letters, digits and _, 40 at most.")
        self._same = (body, *measure(body, channel)) if not self.names else None

    def render(self, values: Mapping[str, str]) -> tuple[str, int, str]:
        """The text for one recipient, its segments and encoding. Raises ValueMissing and InvalidBody."""
        if self._same is not None:
            return self._same
        for name in self.names:
            if name not in values:
                raise ValueMissing(name)
        body = _PLACEHOLDER.sub(lambda found: values[found[1]], self.body)
        return (body, *measure(body, self._channel))
