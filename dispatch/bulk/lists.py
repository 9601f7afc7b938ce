"""Lists of recipients, read one by one: from JSON that was parsed, or from lines of NDJSON or CSV.

What is wrong with one entry is a `Fault` in its place; what leaves the rest unreadable is a `Problem` that names the
line. No more than a line is held at a time.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

from sendmsg.api.parsing import loads
from sendmsg.api.problems import Problem

MAX_LINE: Final = 65_536  # bytes; what a whole message may take
DELIMITERS: Final = ",;\t"  # what spreadsheets write, by country
OWN: Final = frozenset({"to", "values", "client_reference"})
COLUMNS: Final = ("to", "client_reference")  # of a table; all others are placeholders


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient as it was written. `line`: of the stream; of a JSON array, its place, from 1."""

    line: int
    to: str
    values: Mapping[str, str] = field(default_factory=dict)
    client_reference: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a recipient is not accepted. `field` is empty where it is the whole entry."""

    line: int
    field: str
    code: str
    detail: str


def from_json(recipients: Iterable[Any]) -> Iterator[Entry | Fault]:
    """The recipients of a JSON array: numbers, or objects with `to`, `values` and `client_reference`."""
    for place, item in enumerate(recipients, 1):
        yield _entry(place, item)


def from_ndjson(lines: Iterable[tuple[int, str]]) -> Iterator[Entry | Fault]:
    """The same, each on a line of its own."""
    for number, line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            item = _parsed(text)
        except Problem as problem:
            yield Fault(number, "", problem.code, str(problem.detail))
        else:
            yield _entry(number, item)


def from_csv(lines: Iterable[tuple[int, str]]) -> Iterator[Entry | Fault]:
    """The rows of a table whose header names `to`, perhaps `client_reference`, and placeholders.

    An empty cell is no value. Raises Problem (`upload_invalid`).
    """
    position = 0

    def texts() -> Iterator[str]:
        nonlocal position
        for number, line in lines:
            position = number
            yield line

    source = texts()
    names, delimiter = header(next(source, ""), position)
    rows = csv.reader(source, delimiter=delimiter, strict=True)
    try:
        for row in rows:
            if any(row):
                yield _row(position, names, row)
    except csv.Error as error:
        raise Problem("upload_invalid", f"Line {position} is not CSV: {error}.") from None


def lines(file: IO[bytes], first: int = 1) -> Iterator[tuple[int, str]]:
    """The rest of a file, line by line with their numbers. Raises Problem (`upload_invalid`)."""
    number = first
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise Problem("upload_invalid", f"Line {number} is longer than {MAX_LINE // 1024} kB.")
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise Problem("upload_invalid", f"Line {number} is not UTF-8.") from None
        number += 1


def header(line: str, number: int) -> tuple[list[str], str]:
    """The names of a table's columns, and what stands between them. Raises Problem (`upload_invalid`)."""
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
        except csv.Error:
            continue
        if "to" in names:
            if len(set(names)) < len(names):
                raise Problem("upload_invalid", f"Line {number} names a column twice.")
            return names, delimiter
    raise Problem("upload_invalid", f"Line {number} must name the columns, one of them `to`, separated by commas.")


def _parsed(text: str) -> Any:
    """The value of a line: an object, or a number in quotes, for which our parser wants an object around it."""
    if not text.startswith('"'):
        return loads(text.encode())
    item = loads(f'{{"to": {text}}}'.encode())
    if len(item) > 1:
        raise Problem("json_invalid")
    return item["to"]


def _entry(line: int, item: Any) -> Entry | Fault:
    if isinstance(item, str):
        return Entry(line, item)
    if not isinstance(item, dict):
        return Fault(line, "", "wrong_type", "A recipient is a number in quotes, or an object.")
    if unknown := item.keys() - OWN:
        return Fault(line, min(unknown), "unknown_field", "There is no such field.")
    if "to" not in item:
        return Fault(line, "to", "required", "This field is required.")
    values = item.get("values", {})
    if not isinstance(values, dict):
        return Fault(line, "values", "wrong_type", "This must be an object.")
    own = (("to", item["to"]), ("client_reference", item.get("client_reference", "")))
    for name, text in (*own, *values.items()):
        if not isinstance(text, str):
            return Fault(line, name, "wrong_type", "This must be a string.")
    return Entry(line, item["to"], values, item.get("client_reference", ""))


def _row(line: int, names: list[str], row: list[str]) -> Entry | Fault:
    if len(row) != len(names):
        return Fault(line, "", "column_count", f"{len(row)} cells; the header has {len(names)}.")
    cells = dict(zip(names, row, strict=True))
    if any("\0" in cell for cell in row):
        return Fault(line, "", "text_invalid", "A text must not contain NUL.")
    values = {name: cell for name, cell in cells.items() if cell and name not in COLUMNS}
    return Entry(line, cells["to"], values, cells.get("client_reference", ""))
