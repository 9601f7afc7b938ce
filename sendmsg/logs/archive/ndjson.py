"""The usual format of the archive's files: a JSON object a line, all of them compressed by gzip or zstd.

Everything reads it: `zcat`, jq, DuckDB. The same lines make the same bytes.
"""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import IO, Any, Final

from sendmsg.logs.archive.columns import LEVELS

SUFFIXES: Final = {"gzip": ".ndjson.gz", "zstd": ".ndjson.zst"}


def suffix(compression: str) -> str:
    return SUFFIXES[compression]


def pack(lines: Iterable[str], file: IO[bytes], compression: str) -> None:
    """Write to `file`, which stays open."""
    with _packed(file, compression) as packed:
        for line in lines:
            packed.write(line.encode() + b"\n")


def raw(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The lines of a file that is called `name`. Raises OSError, EOFError or ValueError for one that is damaged."""
    file.seek(0)
    if name.endswith(SUFFIXES["zstd"]):
        reader = _zstandard().ZstdDecompressor().stream_reader(file, closefd=False)
        yield from io.BufferedReader(reader)
        return
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield from unpacked


def unpack(file: IO[bytes], name: str, about: str) -> Iterator[dict[str, Any]]:
    """The lines in which `about` occurs: parsing is what takes time."""
    wanted = about.encode()
    for line in raw(file, name):
        if wanted in line:
            yield json.loads(line)


def _zstandard() -> ModuleType:
    import zstandard  # noqa: PLC0415  an extra

    return zstandard


def _packed(file: IO[bytes], compression: str) -> IO[bytes] | gzip.GzipFile:
    level = LEVELS[compression]
    if compression == "zstd":
        writer: IO[bytes] = _zstandard().ZstdCompressor(level=level).stream_writer(file, closefd=False)
        return writer
    return gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=level, mtime=0)
