"""Strict JSON, through HTTP and through WSGI."""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from sendmsg.api.codes import KINDS
from sendmsg.api.parsing import MAX_BODY_BYTES, MAX_DEPTH, loads
from sendmsg.api.problems import Problem
from tests.api.chunked import Chunks, post_in_chunks
from tests.core.test_inflate import COMPRESS, Compress

pytestmark = [pytest.mark.urls("tests.api.urls"), pytest.mark.django_db]


def echo(client: Client, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
    return client.post("/v1/echo", body, content_type, headers=headers)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def padded(size: int) -> bytes:
    return b'{"a": "' + b"x" * (size - 9) + b'"}'


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' {"a": [1, -2.5, true, null, "x", {"b": []}]} ',
        '{"é": "🎉"}'.encode(),
        b'{"a": "\\ud83c\\udf89 \\u0001"}',
        b'{"__proto__": {"admin": true}, "constructor": 1}',
        b'{"a": -9223372036854775808}',
        nested(MAX_DEPTH),
        padded(MAX_BODY_BYTES),
    ],
)
def test_what_is_json_comes_through_as_it_is(client: Client, body: bytes) -> None:
    response = echo(client, body)

    assert response.status_code == 200
    assert response.json() == json.loads(body)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "json_invalid"),
        (b"{'a': 1}", 400, "json_invalid"),
        (b'{"a": 1,}', 400, "json_invalid"),
        (b'{"a": 1} {}', 400, "json_invalid"),
        (b'{"a": 01}', 400, "json_invalid"),
        (b'{"a": "\n"}', 400, "json_invalid"),
        (b" ", 400, "json_invalid"),
        (b"\xef\xbb\xbf{}", 400, "json_invalid"),
        (b"[]", 400, "json_not_object"),
        (b'"text"', 400, "json_not_object"),
        (b"null", 400, "json_not_object"),
        (b'{"a": 1, "a": 1}', 400, "json_duplicate_key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', 400, "json_duplicate_key"),
        (b'{"a": NaN}', 400, "json_number_invalid"),
        (b'{"a": -Infinity}', 400, "json_number_invalid"),
        (b'{"a": 1e400}', 400, "json_number_invalid"),
        (b'{"a": -1e400}', 400, "json_number_invalid"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "json_number_invalid"),
        (nested(MAX_DEPTH + 1), 400, "json_too_deep"),
        (nested(9000), 400, "json_too_deep"),
        (b"[" * 60_000, 400, "json_too_deep"),
        (b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}", 400, "json_too_deep"),
        (b'{"a": "\xff"}', 400, "encoding_invalid"),
        (b'{"a": "\xed\xa0\x80"}', 400, "encoding_invalid"),
        ('{"a": "é"}'.encode("latin-1"), 400, "encoding_invalid"),
        ('{"a": "é"}'.encode("utf-16"), 400, "encoding_invalid"),
        (b'{"a": "x\\u0000"}', 400, "text_invalid"),
        (b'{"a": "\\ud800"}', 400, "text_invalid"),
        (b'{"a": "\\udf89\\ud83c"}', 400, "text_invalid"),
        (padded(MAX_BODY_BYTES + 1), 413, "body_too_large"),
        (padded(1_000_000), 413, "body_too_large"),
    ],
)
def test_everything_else_is_refused_with_its_code(client: Client, body: bytes, status: int, code: str) -> None:
    response = echo(client, body)

    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_text_that_can_not_be_stored_is_pointed_at(client: Client) -> None:
    response = echo(client, b'{"a/b": [{"c": "\\u0000"}], "d\\u0000": 1, "ok": "x"}')

    errors = {(error["pointer"], error["code"]) for error in response.json()["errors"]}
    assert errors == {("/a~1b/0/c", "nul"), ("", "nul")}


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("", "media_type_unsupported"),
        ("text/plain", "media_type_unsupported"),
        ("text/json", "media_type_unsupported"),
        ("application/*", "media_type_unsupported"),
        ("*/*", "media_type_unsupported"),
        ("application/jsonp", "media_type_unsupported"),
        ("application/x-www-form-urlencoded", "media_type_unsupported"),
        ("multipart/form-data; boundary=x", "media_type_unsupported"),
        ("nonsense", "media_type_unsupported"),
        ("application/json; charset=latin-1", "charset_unsupported"),
        ("application/json; charset=utf-16", "charset_unsupported"),
        ("application/json; charset=", "charset_unsupported"),
    ],
)
def test_a_body_of_another_kind_is_a_415(client: Client, content_type: str, code: str) -> None:
    response = echo(client, b'{"a": 1}', content_type)

    assert (response.status_code, response.json()["code"]) == (415, code)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", 'application/json; charset="UTF-8"', "application/json;"],
)
def test_json_may_be_declared_in_any_way_the_rfc_allows(client: Client, content_type: str) -> None:
    assert echo(client, b'{"a": 1}', content_type).status_code == 200


@pytest.mark.parametrize(("encoding", "compress"), sorted(COMPRESS.items()))
def test_a_compressed_body_is_read(client: Client, encoding: str, compress: Compress) -> None:
    response = echo(client, compress(b'{"a": "b"}'), **{"Content-Encoding": encoding})

    assert (response.status_code, response.json()) == (200, {"a": "b"})


@pytest.mark.parametrize(("encoding", "compress"), sorted(COMPRESS.items()))
def test_a_body_counts_as_large_as_it_is_inflated(client: Client, encoding: str, compress: Compress) -> None:
    fits = echo(client, compress(padded(MAX_BODY_BYTES)), **{"Content-Encoding": encoding})
    too_large = echo(client, compress(padded(MAX_BODY_BYTES + 1)), **{"Content-Encoding": encoding})
    bomb = echo(client, compress(bytes(20_000_000)), **{"Content-Encoding": encoding})

    assert fits.status_code == 200
    assert [one.json()["code"] for one in (too_large, bomb)] == ["body_too_large"] * 2


@pytest.mark.parametrize(
    ("encoding", "status", "code"),
    [
        ("gzip", 400, "content_encoding_invalid"),
        ("br", 400, "content_encoding_invalid"),
        ("zstd", 415, "content_encoding_unsupported"),
        ("gzip, br", 415, "content_encoding_unsupported"),
    ],
)
def test_what_can_not_be_inflated_says_why(client: Client, encoding: str, status: int, code: str) -> None:
    response = echo(client, b'{"a": 1}', **{"Content-Encoding": encoding})

    assert (response.status_code, response.json()["code"]) == (status, code)


def test_no_body_is_an_empty_object(client: Client) -> None:
    assert client.generic("POST", "/v1/echo").json() == {}


def load(raw: bytes) -> Any:
    """The parsed body, or the code of its problem."""
    try:
        return loads(raw)
    except Problem as problem:
        return problem.code


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/~é"), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc"), JSON_VALUES, max_size=3))
def test_any_shallow_object_survives_a_round_trip(value: dict[str, Any]) -> None:
    outcome = load(json.dumps(value).encode())

    assert outcome in (value, "json_too_deep")


@given(st.binary(max_size=200))
def test_no_bytes_bring_anything_but_a_dict_or_a_problem(raw: bytes) -> None:
    outcome = load(raw)

    assert isinstance(outcome, dict) or KINDS[outcome].status == 400


def test_a_chunked_body_is_read() -> None:
    assert post_in_chunks(Chunks(iter([b'{"a"', b': "', b'b"}']))) == (200, {"a": "b"})


def test_a_claimed_length_does_not_cut_a_chunked_body() -> None:
    assert post_in_chunks(Chunks(iter([b'{"a": 1}'])), CONTENT_LENGTH="2") == (200, {"a": 1})


def test_an_endless_chunked_body_is_refused_after_64_kilobytes() -> None:
    body = Chunks(b"x" * 1000 for _ in iter(int, 1))

    status, document = post_in_chunks(body)

    assert (status, document["code"]) == (413, "body_too_large")
    assert body.given == MAX_BODY_BYTES + 1


def test_a_broken_chunk_is_a_mistake_of_the_client() -> None:
    def broken() -> Iterator[bytes]:
        yield b'{"a"'
        raise OSError("no more data")

    status, document = post_in_chunks(Chunks(broken()))

    assert (status, document["code"]) == (400, "request_invalid")


def test_a_server_that_does_not_decode_chunks_asks_for_a_length() -> None:
    status, document = post_in_chunks(BytesIO(b"8\r\n"), **{"wsgi.input_terminated": False})

    assert (status, document["code"]) == (411, "length_required")
