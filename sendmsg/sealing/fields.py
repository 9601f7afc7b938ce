"""Fields whose content the default database only sees encrypted: texts, JSON and files that hold what people write.

They can't be searched. Reading never raises for what can't be opened, because it would take a whole batch of rows with
it: the value is then empty, says so by its type, and is written back as it was. Whoever sends, tells or deletes has to
ask `unreadable` first.
"""

import json
from typing import TYPE_CHECKING, Any

from django.db import models

from sendmsg.errors import ConfigurationError
from sendmsg.sealing import envelope, keys
from sendmsg.sealing.envelope import MARK, Shut

if TYPE_CHECKING:
    _Text = models.TextField[Any, Any]
    _Char = models.CharField[Any, Any]
    _JSON = models.JSONField[Any, Any]
    _Binary = models.BinaryField[Any, Any]
    _Column = models.Field[Any, Any]
else:
    _Text, _Char, _JSON, _Binary = models.TextField, models.CharField, models.JSONField, models.BinaryField
    _Column = object


class Unreadable:
    """`token`: what is stored. `locked`: another CREDENTIALS_KEYS would open it. True, for there is something."""

    token: str
    locked: bool

    def __bool__(self) -> bool:
        return True


class UnreadableText(str, Unreadable):
    pass


class UnreadableData(dict[str, Any], Unreadable):
    pass


class UnreadableFile(bytes, Unreadable):
    pass


def unreadable(value: object) -> Unreadable | None:
    """The value itself if it could not be opened."""
    return value if isinstance(value, Unreadable) else None


def gone(value: object) -> bool:
    """Whether nobody can open the value any more. Raises `ConfigurationError` if somebody could, but not this process:
    for those who are about to delete what they can't read."""
    found = unreadable(value)
    if found is not None and found.locked:
        raise ConfigurationError("CREDENTIALS_KEYS holds no key that opens the text keys of stored texts")
    return found is not None


class Sealed(_Column):
    """What the fields have in common. Historical models name the column the same, so migrations may read and write.

    `looks`: how an encrypted value begins, cast to text by Postgres.
    """

    looks = MARK
    place = b""

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        self.place = f"{cls._meta.label_lower}.{name}".encode()

    def _seal(self, content: bytes) -> str | None:
        """The token; None while texts are written in clear."""
        key = keys.current()
        return None if key is None else envelope.seal(content, self.place, key)

    def _open(self, token: str, kind: type[Any]) -> Any:
        """The bytes, or an empty value of `kind`."""
        found = envelope.unseal(token, self.place)
        if not isinstance(found, Shut):
            return found
        value = kind()
        value.token, value.locked = token, found.locked
        return value


class SealedText(Sealed):
    """A text. An empty one stays as it is."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if value is None or not value.startswith(MARK):
            return value
        found = self._open(value, UnreadableText)
        return found.decode() if isinstance(found, bytes) else found

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Unreadable):
            return value.token
        text: str | None = value if type(value) is str else super().get_prep_value(value)
        return (self._seal(text.encode()) or text) if text else text


class SealedCharField(SealedText, _Char):
    """For a column that was a `CharField`: of no length, for what is encrypted is longer."""


class SealedTextField(SealedText, _Text):
    """A text of any length.

    `flag`: a boolean field after this one, which says for SQL whether the text has more than `beyond` characters. It is
    kept for new rows; who changes a text changes it too (`beside`).
    """

    def __init__(self, *args: Any, flag: str = "", beyond: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.flag, self.beyond = flag, beyond

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        if self.flag:
            options |= {"flag": self.flag, "beyond": self.beyond}
        return name, path, args, options

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if add:
            for name, flag in self.beside(value).items():
                setattr(model_instance, name, flag)
        return value

    def beside(self, text: str) -> dict[str, bool]:
        """What belongs into the row with this text."""
        return {self.flag: len(text) > self.beyond} if self.flag else {}


class SealedJSONField(Sealed, _JSON):
    """An object; encrypted it is a JSON string."""

    looks = f'"{MARK}'

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        if not isinstance(found, str) or not found.startswith(MARK):
            return found
        opened = self._open(found, UnreadableData)
        return json.loads(opened) if isinstance(opened, bytes) else opened

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Unreadable):
            return value.token
        prepared = super().get_prep_value(value)
        if prepared is None:
            return None
        return self._seal(json.dumps(prepared, cls=self.encoder).encode()) or prepared


class SealedBinaryField(Sealed, _Binary):
    """A file of some megabytes."""

    looks = f"\\x{MARK.encode().hex()}"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> bytes | None:
        if value is None:
            return None
        content = bytes(value)
        if not content.startswith(MARK.encode()):
            return content
        found: bytes = self._open(content.decode("ascii", "replace"), UnreadableFile)
        return found

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Unreadable):
            return value.token.encode()
        if value is None:
            return None
        token = self._seal(bytes(value))
        return value if token is None else token.encode()
