"""No cell of a written table is a formula, whatever somebody typed."""

from __future__ import annotations

import pytest

from farhand_protocol.cells import plain_cell


@pytest.mark.parametrize("blank", ["", " ", "   ", "\u00a0", "\u3000", "\t", "\r", "\n", "\x0b"])
@pytest.mark.parametrize("first", "=+-@\uff1d\uff0b\uff0d\uff20")
def test_what_a_spreadsheet_would_run_gets_a_mark(blank: str, first: str) -> None:
    text = f"{blank}{first}1+1"
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("first", "\t\r\n")
def test_what_begins_with_a_break_gets_a_mark(first: str) -> None:
    assert plain_cell(f"{first}a") == f"'{first}a"


@pytest.mark.parametrize("text", ["", " ", "a=1", " a", "1-1", "printer broken", "'=1"])
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert plain_cell(text) == text
