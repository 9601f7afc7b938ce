"""The table of providers: the pages have it as the capabilities say, and one command renews it."""

from pathlib import Path

import pytest

from dispatch.providers import matrix, registry
from tests.docs.pages import ROOT


@pytest.mark.parametrize("name", matrix.PAGES)
def test_a_page_has_the_table_as_it_is(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")

    assert text == matrix.renewed(name, text), f"the table of {name} is old; renew it with: {matrix.COMMAND}"


def test_every_provider_is_a_row_with_a_cell_for_each_column() -> None:
    head, _, *rows = matrix.table(tuple(matrix.COLUMNS)).splitlines()

    assert [row.split(" | ")[0] for row in rows] == [f"| `{slug}`" for slug in registry.PROVIDERS]
    assert {row.count(" | ") for row in rows} == {head.count(" | ")} == {len(matrix.COLUMNS)}


def test_an_old_table_is_renewed_and_the_rest_left_alone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in matrix.PAGES:
        (tmp_path / name).write_text(f"before\n{matrix.BEGIN}\n| old |\n{matrix.END}\nafter\n")
    matrix.write(tmp_path)

    for name, columns in matrix.PAGES.items():
        text = (tmp_path / name).read_text()
        assert text == f"before\n{matrix.BEGIN}\n\n{matrix.table(columns)}\n\n{matrix.END}\nafter\n"
        assert matrix.renewed(name, text) == text


@pytest.mark.parametrize("text", ["", matrix.BEGIN, f"{matrix.END} {matrix.BEGIN}"])
def test_a_page_without_a_place_for_it_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md needs"):
        matrix.renewed("README.md", text)


def test_without_a_flag_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    matrix.main([])

    assert capsys.readouterr().out == f"{matrix.table(tuple(matrix.COLUMNS))}\n"
