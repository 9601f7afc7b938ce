"""Compressed request bodies: gzip, deflate and br (RFC 9110 §8.4.1, RFC 7932), never larger than the caller's bound.

What comes out is counted while it is made, so a few bytes that would become gigabytes cost no more than the bound.
"""

import zlib
from typing import Final

import brotli

ENCODINGS: Final = ("gzip", "deflate", "br")
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's number for "a gzip header is expected"


class InflateError(ValueError):
    """No body. `code`: `content_encoding_unsupported`, `content_encoding_invalid` or `body_too_large`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before `encoding`, a value of Content-Encoding. Raises `InflateError`.

    One encoding, and one stream of it that ends with the body: more is never needed for a request.
    """
    name = encoding.strip().lower().removeprefix("x-")
    if name in ("", "identity"):
        return body
    if name not in ENCODINGS:
        raise InflateError("content_encoding_unsupported")
    try:
        inflated = _brotli(body, limit) if name == "br" else _zlib(body, name, limit)
    except (zlib.error, brotli.error):
        raise InflateError("content_encoding_invalid") from None
    if len(inflated) > limit:
        raise InflateError("body_too_large")
    return inflated


def _zlib(body: bytes, name: str, limit: int) -> bytes:
    window = _GZIP if name == "gzip" else zlib.MAX_WBITS if _has_header(body) else -zlib.MAX_WBITS
    stream = zlib.decompressobj(window)
    inflated = stream.decompress(body, limit + 1)
    if len(inflated) <= limit and (not stream.eof or stream.unused_data):
        raise InflateError("content_encoding_invalid")
    return inflated


def _has_header(body: bytes) -> bool:
    """Whether it is a zlib stream (RFC 1950 §2.2), as deflate means; some senders leave the header away."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _brotli(body: bytes, limit: int) -> bytes:
    stream = brotli.Decompressor()
    inflated = bytearray(stream.process(body, output_buffer_limit=limit + 1))
    while len(inflated) <= limit and not stream.is_finished() and not stream.can_accept_more_data():
        inflated += stream.process(b"", output_buffer_limit=limit + 1 - len(inflated))
    if len(inflated) <= limit and not stream.is_finished():
        raise InflateError("content_encoding_invalid")
    return bytes(inflated)
