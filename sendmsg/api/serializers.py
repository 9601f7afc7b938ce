"""Serializers that take a request at its word: no unknown field is dropped, no value changes its type.

DRF alone would drop a misspelt field in silence, store the number 5 as the text "5", and read "yes" as true.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

_Field = serializers.Field[Any, Any, Any, Any]

# The first row that fits decides, so a subclass stands before its parent.
_JSON_TYPES: Final[tuple[tuple[type[Any], tuple[type, ...], str], ...]] = (
    (serializers.BooleanField, (bool,), "true or false"),
    (serializers.IntegerField, (int,), "an integer"),
    (serializers.FloatField, (int, float), "a number"),
    (serializers.MultipleChoiceField, (list,), "an array"),
    (serializers.ListField, (list,), "an array"),
    (serializers.ListSerializer, (list,), "an array"),
    (serializers.DictField, (dict,), "an object"),
    (serializers.BaseSerializer, (dict,), "an object"),
    (serializers.CharField, (str,), "a string"),
    (serializers.ChoiceField, (str,), "a string"),
    (serializers.DateTimeField, (str,), "a string"),
    (serializers.UUIDField, (str,), "a string"),
)


class StrictSerializer(serializers.Serializer[Any]):
    """Base of the serializers of request bodies. All mistakes are reported at once, each with its pointer."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values. Raises DRF's ValidationError."""
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            errors = {**self._unknown(data), **self._mistyped(data)}
            # A plain dict: DRF reads an empty query parameter as an absent one.
            data = {key: data[key] for key in data if key not in errors}
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            found = error.detail if isinstance(error.detail, dict) else {}
            errors = {**{key: detail for key, detail in found.items() if key not in errors}, **errors}
            raise ValidationError(errors or error.detail) from None
        if errors:
            raise ValidationError(errors)
        return value

    def _unknown(self, data: Mapping[str, Any]) -> dict[str, Any]:
        known = {name for name, field in self.fields.items() if not field.read_only}
        unknown = [ErrorDetail("There is no such field.", "unknown_field")]
        return {key: unknown for key in data if key not in known}

    def _mistyped(self, data: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: field for name, field in self.fields.items() if name in data and not field.read_only}
        found = {name: _type_errors(field, data[name]) for name, field in given.items()}
        return {name: errors for name, errors in found.items() if errors}


class QuerySerializer(StrictSerializer):
    """Base of every serializer of query parameters: all of them are text, and none may be given twice."""

    def _mistyped(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(data, QueryDict):
            return {}
        repeated = [ErrorDetail("This parameter must be given once.", "repeated")]
        return {name: repeated for name in data if len(data.getlist(name)) > 1}


def _type_errors(field: _Field, value: Any) -> Any:
    """What is wrong with the JSON type of `value` or of anything in it, nested as DRF nests errors.

    Raises TypeError for a field class that has no JSON type here: a mistake of ours, seen at the first
    request.
    """
    if value is None:
        return None  # whether null is allowed is the field's own question
    types, name = _json_type(field)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return [ErrorDetail(f"This must be {name}.", "wrong_type")]
    child = getattr(field, "child", None)
    if child is None or isinstance(field, serializers.BaseSerializer):
        return None
    pairs = value.items() if isinstance(value, dict) else enumerate(cast(list[Any], value))
    return {key: errors for key, item in pairs if (errors := _type_errors(child, item))}


def _json_type(field: _Field) -> tuple[tuple[type, ...], str]:
    for kind, types, name in _JSON_TYPES:
        if isinstance(field, kind):
            return types, name
    raise TypeError(f"{type(field).__name__} has no JSON type in {__name__}")


def validated(serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
    """The data of a serializer that was given some; raises `ValidationError` for what it can't accept."""
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data
