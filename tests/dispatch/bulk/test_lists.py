"""Lists of recipients as JSON, NDJSON and CSV."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.bulk.lists import MAX_LINE, Entry, Fault, from_csv, from_json, from_ndjson, lines
from sendmsg.api.problems import Problem


def ndjson(text: str | bytes) -> list[Entry | Fault]:
    return list(from_ndjson(lines(BytesIO(text if isinstance(text, bytes) else text.encode()))))


def table(text: str | bytes) -> list[Entry | Fault]:
    return list(from_csv(lines(BytesIO(text if isinstance(text, bytes) else text.encode()))))


def faults(found: list[Entry | Fault]) -> list[tuple[int, str, str]]:
    return [(one.line, one.field, one.code) for one in found if isinstance(one, Fault)]


WRONG: list[tuple[Any, str, str]] = [
    (7, "", "wrong_type"),
    (None, "", "wrong_type"),
    ({"values": {}}, "to", "required"),
    ({"to": 447700900900}, "to", "wrong_type"),
    ({"to": 7, "values": {"to": "+447700900900"}}, "to", "wrong_type"),
    ({"to": "+447700900900", "values": []}, "values", "wrong_type"),
    ({"to": "+447700900900", "values": {"name": 7}}, "name", "wrong_type"),
    ({"to": "+447700900900", "client_reference": 7}, "client_reference", "wrong_type"),
    ({"to": "+447700900900", "name": "Ada"}, "name", "unknown_field"),
]


@pytest.mark.parametrize(("item", "field", "code"), WRONG)
def test_a_wrong_item_is_a_fault_in_its_place(item: Any, field: str, code: str) -> None:
    found = list(from_json(["+447700900900", item, "+447700900901"]))

    assert faults(found) == [(2, field, code)]
    assert [one.to for one in found if isinstance(one, Entry)] == ["+447700900900", "+447700900901"]


def test_numbers_and_objects_are_recipients() -> None:
    whole = {"to": "+447700900901", "values": {"name": "Ada"}, "client_reference": "c-1"}

    assert list(from_json(["+447700900900", whole])) == [
        Entry(1, "+447700900900"),
        Entry(2, "+447700900901", {"name": "Ada"}, "c-1"),
    ]


def test_ndjson_has_one_on_each_line_and_blank_lines_do_not_count() -> None:
    found = ndjson('"+447700900900"\n\n{"to": "+447700900901", "values": {"name": "Ada"}}\r\n"+447700900902"')

    assert found == [
        Entry(1, "+447700900900"),
        Entry(3, "+447700900901", {"name": "Ada"}),
        Entry(4, "+447700900902"),
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "json_invalid"),
        ('"+447700900900', "json_invalid"),
        ('"a", "b": 1', "json_invalid"),
        ("7", "json_not_object"),
        ('{"to": "a", "to": "b"}', "json_duplicate_key"),
        (r'"\u0000"', "text_invalid"),
    ],
)
def test_a_line_that_is_no_json_is_a_fault_with_its_number(line: str, code: str) -> None:
    found = ndjson(f'"+447700900900"\n{line}\n"+447700900901"\n')

    assert [(number, found_code) for number, _, found_code in faults(found)] == [(2, code)]
    assert len(found) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_a_header_with_to_and_placeholders(delimiter: str) -> None:
    text = 'name,to,client_reference\nAda,+447700900900,c-1\n"Lo\n""ve""",+447700900901,\n'

    assert table(text.replace(",", delimiter)) == [
        Entry(2, "+447700900900", {"name": "Ada"}, "c-1"),
        Entry(4, "+447700900901", {"name": 'Lo\n"ve"'}),
    ]


def test_a_spreadsheets_mark_and_line_ends_are_no_part_of_it() -> None:
    assert table(b"\xef\xbb\xbfto, name\r\n+447700900900,Ada\r\n\r\n") == [Entry(2, "+447700900900", {"name": "Ada"})]


def test_an_empty_cell_is_no_value() -> None:
    assert table("to,name\n+447700900900,\n") == [Entry(2, "+447700900900")]


def test_a_row_of_another_length_is_a_fault() -> None:
    assert faults(table("to,name\n+447700900900\n+447700900901,Ada,7\n+447700900902,Bob\n")) == [
        (2, "", "column_count"),
        (3, "", "column_count"),
    ]


def test_a_nul_in_a_row_is_a_fault() -> None:
    assert faults(table("to,name\n+447700900900,A\0a\n")) == [(2, "", "text_invalid")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Line 0 must name the columns"),
        (b"number,name\n+447700900900,Ada\n", "Line 1 must name the columns"),
        (b"to,name,name\n", "Line 1 names a column twice"),
        (b'to,name\n+447700900900,"A"a\n', "Line 2 is not CSV"),
        (b'to,name\n+447700900900,"Ada\n', "Line 2 is not CSV"),
        (b"to\n+447700900900\n\xff\n", "Line 3 is not UTF-8"),
        (b"to\n+447700900900\n" + b"x" * (MAX_LINE + 1), "Line 3 is longer than 64 kB"),
    ],
)
def test_what_can_not_be_read_on_names_its_line(content: bytes, said: str) -> None:
    with pytest.raises(Problem, match=said) as caught:
        table(content)

    assert caught.value.code == "upload_invalid"


@given(st.binary(max_size=200) | st.text('"\\,;{}[]: \n\rto+47', max_size=60).map(str.encode))
def test_no_bytes_bring_anything_but_entries_faults_and_a_problem(raw: bytes) -> None:
    assert outcomes(ndjson, raw) <= {Entry, Fault, "upload_invalid"}
    assert outcomes(table, raw) <= {Entry, Fault, "upload_invalid"}
    assert outcomes(table, b"to,name\n" + raw) <= {Entry, Fault, "upload_invalid"}


def outcomes(read: Callable[[bytes], list[Entry | Fault]], raw: bytes) -> set[Any]:
    try:
        return set(map(type, read(raw)))
    except Problem as problem:
        return {problem.code}
