"""Serializers take a request at its word."""

from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from sendmsg.api.paging import PageQuery
from sendmsg.api.serializers import StrictSerializer


class Inner(StrictSerializer):
    word = serializers.CharField()


class Everything(StrictSerializer):
    text = serializers.CharField(required=False, allow_null=True)
    number = serializers.IntegerField(required=False)
    ratio = serializers.FloatField(required=False)
    flag = serializers.BooleanField(required=False)
    choice = serializers.ChoiceField(["1", "2"], required=False)
    several = serializers.MultipleChoiceField(choices=["1", "2"], required=False)
    moment = serializers.DateTimeField(required=False)
    id = serializers.UUIDField(required=False)
    words = serializers.ListField(child=serializers.CharField(), required=False)
    pairs = serializers.DictField(child=serializers.CharField(), required=False)
    inner = Inner(required=False)
    inners = Inner(many=True, required=False)
    made = serializers.CharField(read_only=True)


def codes(serializer: serializers.Serializer[Any]) -> Any:
    assert not serializer.is_valid()
    return plain(serializer.errors)


def plain(errors: Any) -> Any:
    """The codes of nested errors."""
    if isinstance(errors, dict):
        return {key: plain(value) for key, value in errors.items()}
    if isinstance(errors, list):
        return [plain(error) for error in errors]
    return errors.code


@pytest.mark.parametrize(
    "body",
    [
        {"text": "5", "number": 5, "ratio": 1.5, "flag": False, "choice": "1", "several": ["2"]},
        {
            "ratio": 1,
            "text": None,
            "moment": "2026-11-23T12:00:00Z",
            "id": "019a9d8e-1c2f-7b40-a1d5-c3e2f4b6a798",
        },
        {"words": ["a"], "pairs": {"a": "b"}, "inner": {"word": "x"}, "inners": [{"word": "x"}]},
    ],
)
def test_values_of_the_right_type_are_accepted(body: dict[str, Any]) -> None:
    assert Everything(data=body).is_valid(raise_exception=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 5),
        ("text", True),
        ("text", 1.5),
        ("text", ["a"]),
        ("text", {}),
        ("number", "5"),
        ("number", 5.0),
        ("number", True),
        ("ratio", "1.5"),
        ("ratio", False),
        ("flag", "true"),
        ("flag", 1),
        ("flag", 0),
        ("choice", 1),
        ("several", "1"),
        ("moment", 1_700_000_000),
        ("id", 5),
        ("words", "a"),
        ("words", {"0": "a"}),
        ("pairs", [["a", "b"]]),
        ("inner", "x"),
        ("inner", []),
        ("inners", {"word": "x"}),
    ],
)
def test_no_value_is_turned_into_another_type(name: str, value: Any) -> None:
    assert codes(Everything(data={name: value})) == {name: ["wrong_type"]}


def test_types_are_checked_inside_of_arrays_and_objects() -> None:
    body = {"words": ["a", 1], "pairs": {"a": "b", "c": 2}, "inner": {"word": 3}}

    assert codes(Everything(data=body)) == {
        "words": {1: ["wrong_type"]},
        "pairs": {"c": ["wrong_type"]},
        "inner": {"word": ["wrong_type"]},
    }


def test_unknown_fields_are_refused_at_every_level_together_with_other_mistakes() -> None:
    body = {
        "txet": "a",
        "number": "5",
        "moment": "yesterday",
        "inner": {"word": "x", "sword": 1},
        "__proto__": {},
    }

    assert codes(Everything(data=body)) == {
        "txet": ["unknown_field"],
        "__proto__": ["unknown_field"],
        "number": ["wrong_type"],
        "moment": ["invalid"],
        "inner": {"sword": ["unknown_field"]},
    }


def test_a_field_that_only_we_write_is_unknown_in_a_request() -> None:
    assert codes(Everything(data={"made": "x"})) == {"made": ["unknown_field"]}


def test_a_field_class_without_a_json_type_is_a_mistake_of_ours() -> None:
    class Odd(StrictSerializer):
        address = serializers.IPAddressField()
        price = serializers.DecimalField(5, 2)

    with pytest.raises(TypeError, match="DecimalField"):
        Odd(data={"price": 1}).is_valid()


def query(text: str) -> PageQuery:
    return PageQuery(data=QueryDict(text))


def test_query_parameters_are_texts() -> None:
    serializer = query("limit=5&cursor=abc")

    assert serializer.is_valid(raise_exception=True)
    assert serializer.validated_data == {"limit": 5, "cursor": "abc"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("page=2", {"page": ["unknown_field"]}),
        ("limit=1&limit=2", {"limit": ["repeated"]}),
        ("limit=0", {"limit": ["min_value"]}),
        ("limit=101", {"limit": ["max_value"]}),
        ("limit=1000000000", {"limit": ["max_value"]}),
        ("limit=1e2", {"limit": ["invalid"]}),
        ("limit=", {"limit": ["invalid"]}),
        ("cursor=", {"cursor": ["blank"]}),
    ],
)
def test_query_parameters_are_refused_like_fields(text: str, expected: dict[str, Any]) -> None:
    assert codes(query(text)) == expected
