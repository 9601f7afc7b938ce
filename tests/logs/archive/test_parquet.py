"""Parquet gives back the very lines it was given, has columns of their types, and looks for a message in few rows."""

import json
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from pyarrow import parquet as pq

from sendmsg.logs.archive import parquet
from sendmsg.logs.archive.columns import Column

COLUMNS = {
    "id": Column.TEXT,
    "test": Column.FLAG,
    "segments": Column.NUMBER,
    "created_at": Column.TIME,
    "send_at": Column.TIME,
    "attempts": Column.JSON,
}
LINE = {
    "id": str(UUID(int=7)),
    "test": True,
    "segments": 2,
    "created_at": "2026-01-05T23:59:59.999999+00:00",
    "send_at": None,
    "attempts": [{"code": "ü", "number": 1}, None],
}


def packed(*lines: dict[str, Any], compression: str = "gzip") -> BytesIO:
    file = BytesIO()
    parquet.pack((json.dumps(line) for line in lines), file, compression, COLUMNS)
    return file


def many(count: int) -> list[dict[str, Any]]:
    return [{**LINE, "id": str(UUID(int=number))} for number in range(count)]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_line_is_read_as_it_was_written(compression: str) -> None:
    assert list(parquet.unpack(packed(LINE, compression=compression), "")) == [LINE]


def test_a_member_that_is_missing_is_null() -> None:
    assert list(parquet.unpack(packed({"id": "a"}), "")) == [{**dict.fromkeys(COLUMNS), "id": "a"}]


def test_columns_have_types_that_a_warehouse_can_ask_by() -> None:
    schema = pq.read_schema(packed(LINE))

    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types == {
        "id": "string",
        "test": "bool",
        "segments": "int64",
        "created_at": "timestamp[us, tz=UTC]",
        "send_at": "timestamp[us, tz=UTC]",
        "attempts": "string",
    }


@pytest.mark.parametrize("wrong", [{"surprise": 1}, {"segments": "two"}, {"created_at": "yesterday"}])
def test_what_is_of_no_column_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"surprise|two|yesterday"):
        packed({**LINE, **wrong})


def test_one_message_is_looked_for_in_its_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 10)
    file = packed(*many(35))
    groups: list[int] = []
    read = pq.ParquetFile.read_row_group

    def reading(self: Any, number: int) -> Any:
        groups.append(number)
        return read(self, number)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", reading)

    found = list(parquet.unpack(file, str(UUID(int=21))))

    assert ([line["id"] for line in found], groups) == ([str(UUID(int=21))], [2])


def test_each_row_is_counted_whatever_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 10)

    assert sum(1 for _ in parquet.each(packed(*many(35)))) == 35


def test_what_is_no_parquet_is_an_error_that_the_archive_knows() -> None:
    with pytest.raises((OSError, ValueError)):
        list(parquet.unpack(BytesIO(b"PAR1 not really PAR1"), ""))
