"""The other format of the archive's files, for those who ask them more than the history of one message: Apache Parquet.

Needs pyarrow, the extra `parquet`. Columns have types, so that a query of all failures of a month reads two columns and
not the sealed ones; what is nested stays JSON in a text. What is read back is what NDJSON would give: the same objects,
members that were null included. The rows of a file are in the order of their messages, and each group of rows says
its first and last: looking for one message reads one group.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import IO, Any, Final

import pyarrow as pa
from pyarrow import compute, parquet

from sendmsg.logs.archive.columns import LEVELS, Column, Columns

ROWS: Final = 20_000  # of a group: held in memory at a time, 10 to 40 MB
_ABOUT: Final = ("message", "id")  # the column that says which message a row is about: the first that there is
_META: Final = b"sendmsg.columns"
_TYPES: Final[Mapping[Column, Any]] = {
    Column.TEXT: pa.string(),
    Column.NUMBER: pa.int64(),
    Column.FLAG: pa.bool_(),
    Column.TIME: pa.timestamp("us", "UTC"),
    Column.JSON: pa.string(),
}


def pack(lines: Iterable[str], file: IO[bytes], compression: str, columns: Columns) -> None:
    """Write to `file`, which stays open. Raises ValueError for a line with a member that is no column, or not of it."""
    schema = pa.schema(
        [(name, _TYPES[column]) for name, column in columns.items()], {_META: json.dumps(dict(columns)).encode()}
    )
    rows = iter(lines)
    level = LEVELS[compression]
    with parquet.ParquetWriter(file, schema, compression=compression, compression_level=level) as writer:
        while some := [_cells(json.loads(line), columns) for line in islice(rows, ROWS)]:
            writer.write_table(pa.Table.from_pylist(some, schema))


def each(file: IO[bytes]) -> Iterator[object]:
    """Something for each row, all of which is read for it."""
    for number in range((read := _opened(file)).num_row_groups):
        yield from range(read.read_row_group(number).num_rows)


def unpack(file: IO[bytes], about: str) -> Iterator[dict[str, Any]]:
    """The lines about a message; all of them if `about` is empty."""
    read = _opened(file)
    columns = json.loads(read.schema_arrow.metadata[_META])
    key = next(name for name in _ABOUT if name in columns)
    at = read.schema_arrow.get_field_index(key)
    for number in range(read.num_row_groups):
        bounds = read.metadata.row_group(number).column(at).statistics
        if about and bounds is not None and bounds.has_min_max and not bounds.min <= about <= bounds.max:
            continue
        table = read.read_row_group(number)
        if about:
            table = table.filter(compute.equal(table[key], about))
        for row in table.to_pylist():
            yield {name: _value(cell, columns[name]) for name, cell in row.items()}


def _opened(file: IO[bytes]) -> Any:
    file.seek(0)
    return parquet.ParquetFile(file)


def _cells(line: dict[str, Any], columns: Columns) -> dict[str, Any]:
    if unknown := line.keys() - columns.keys():
        raise ValueError(f"no column for {', '.join(sorted(unknown))}")
    return {name: _cell(value, columns[name]) for name, value in line.items()}


def _cell(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column == Column.TIME:
        return datetime.fromisoformat(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if column == Column.JSON else value


def _value(cell: Any, column: str) -> Any:
    if cell is None:
        return None
    if column == Column.TIME:
        return cell.isoformat()
    return json.loads(cell) if column == Column.JSON else cell
