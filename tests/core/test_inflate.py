"""Compressed bodies: every encoding that we name, and nothing that costs more than its bound."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendmsg.inflate import ENCODINGS, InflateError, inflate

Compress = Callable[[bytes], bytes]
COMPRESS: dict[str, Compress] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: bytes(brotli.compress(body, quality=5)),
}
LIMIT = 10_000
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


def outcome(body: bytes, encoding: str, limit: int = LIMIT) -> bytes | str:
    """The body, or the code of its error."""
    try:
        return inflate(body, encoding, limit)
    except InflateError as error:
        return error.code


@every_encoding
@given(body=st.binary(max_size=500))
def test_a_body_comes_back_as_it_was(encoding: str, body: bytes) -> None:
    assert inflate(COMPRESS[encoding](body), encoding, LIMIT) == body


@given(st.binary(max_size=500), st.integers(1, 9))
def test_deflate_without_its_header_is_understood(body: bytes, level: int) -> None:
    stream = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    bare = stream.compress(body) + stream.flush()

    assert inflate(bare, "deflate", LIMIT) == body


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_body_that_is_not_compressed_is_left_alone(encoding: str) -> None:
    assert inflate(b"x" * (LIMIT + 1), encoding, LIMIT) == b"x" * (LIMIT + 1)


@pytest.mark.parametrize("encoding", ["GZIP", " gzip ", "x-gzip"])
def test_an_encoding_may_be_spelt_as_the_rfc_allows(encoding: str) -> None:
    assert inflate(gzip.compress(b"x"), encoding, LIMIT) == b"x"


@every_encoding
def test_the_bound_is_exact(encoding: str) -> None:
    compress = COMPRESS[encoding]

    assert outcome(compress(b"x" * LIMIT), encoding) == b"x" * LIMIT
    assert outcome(compress(b"x" * (LIMIT + 1)), encoding) == "body_too_large"


@every_encoding
def test_a_bomb_costs_no_more_than_the_bound(encoding: str) -> None:
    bomb = COMPRESS[encoding](bytes(50_000_000))
    tracemalloc.start()
    try:
        assert outcome(bomb, encoding) == "body_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * LIMIT + 20 * len(bomb)


@every_encoding
def test_what_is_cut_off_or_goes_on_is_no_body(encoding: str) -> None:
    whole = COMPRESS[encoding](bytes(range(256)) * 4)

    for body in (whole[:-1], whole[: len(whole) // 2], whole + b"x", whole + whole, b"", b"x" + whole):
        assert outcome(body, encoding) == "content_encoding_invalid"


@every_encoding
@given(body=st.binary(max_size=100))
def test_any_bytes_are_a_body_or_an_error(encoding: str, body: bytes) -> None:
    found = outcome(body, encoding)

    assert isinstance(found, bytes) or found in {"content_encoding_invalid", "body_too_large"}


@pytest.mark.parametrize("encoding", ["zstd", "compress", "gzip, br", "gzip,gzip", "*", "é"])
def test_an_encoding_that_we_do_not_know_is_named_so(encoding: str) -> None:
    assert outcome(b"x", encoding) == "content_encoding_unsupported"
