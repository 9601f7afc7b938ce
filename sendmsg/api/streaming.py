"""Bodies too large for memory: read whole and counted before any work begins, and kept in a file without a name.

A client that sends slowly holds a thread, never a transaction; what a handler reads afterwards is all there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, ClassVar

from rest_framework.parsers import BaseParser

from sendmsg.api.parsing import check_headers, too_large
from sendmsg.api.problems import Problem

_IN_MEMORY = 1_048_576  # bytes; a body up to this never touches a disk
_CHUNK = 65_536  # bytes at a time


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A body as it came. `file` stands at its beginning; whoever handles the request closes it.

    `fingerprint`: the same for the same bytes.
    """

    media_type: str
    file: IO[bytes]
    fingerprint: str


class StreamParser(BaseParser):
    """DRF parser of such bodies; subclasses name their type and their cap. Raises `Problem` and nothing else."""

    max_bytes: ClassVar[int]

    def parse(  # type: ignore[override]  # DRF takes whatever a parser returns for the data
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> StreamedBody:
        """The whole body, in a file."""
        request = (parser_context or {}).get("request")
        check_headers(media_type or "", self.media_type)
        if request is not None and request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem("content_encoding_unsupported", "A stream must not be compressed.")
        digest = hashlib.sha256(self.media_type.encode())
        file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  handed on to be closed
        try:
            left = self.max_bytes
            while chunk := stream.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise too_large(self.max_bytes)
                digest.update(chunk)
                file.write(chunk)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return StreamedBody(self.media_type, file, digest.hexdigest())
