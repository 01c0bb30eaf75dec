from __future__ import annotations

import pytest

from farhand_protocol.codes import (
    ALPHABET,
    format_code,
    nameplate_from_random,
    parse_code,
    secret_from_random,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.words import WORDS, four_words


def test_the_alphabet_holds_nothing_that_is_mistaken_for_something_else() -> None:
    assert len(set(ALPHABET)) == 20
    assert not set(ALPHABET) & set("01IOLSBDTZEUANYK")


@pytest.mark.parametrize(
    "text",
    ["4071-H7M 3QX", "4071h7m3qx", " 40 71 - h7m-3qx\n", "4071\u2013H7M\u00a03QX", "4071.H7M_3QX"],
)
def test_a_code_is_read_however_it_is_typed(text: str) -> None:
    assert parse_code(text) == ("4071", "H7M3QX")


def test_a_code_is_written_as_it_is_shown() -> None:
    assert format_code("407123", "H7M3QX") == "407123-H7M 3QX"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "H7M3QX",
        "407-H7M 3QX",
        "4071234-H7M 3QX",
        "4071-H7M 3Q",
        "4071-K7M 3QX",
        "407A-H7M 3QX",
        "\u0664071-H7M 3QX",
        "4071-H7M 3Q\u212a",
        "4071-H7M 3QX" + " " * 64,
    ],
)
def test_anything_else_is_no_code(text: str) -> None:
    with pytest.raises(FarhandError, match="code-malformed"):
        parse_code(text)


@pytest.mark.parametrize(("nameplate", "secret"), [("071", "H7M3QX"), ("4071", "h7m3qx")])
def test_only_codes_are_written(nameplate: str, secret: str) -> None:
    with pytest.raises(FarhandError, match="code-malformed"):
        format_code(nameplate, secret)


def test_secrets_skip_the_bytes_that_would_bias_them() -> None:
    assert secret_from_random(bytes([255, 0, 240, 19, 20, 39, 239, 1])) == "2X2XX3"
    with pytest.raises(ValueError, match="too few"):
        secret_from_random(bytes([240] * 100 + [0] * 5))


def test_each_symbol_is_equally_likely() -> None:
    drawn = [secret_from_random(bytes([byte] * 6))[0] for byte in range(240)]
    assert {drawn.count(symbol) for symbol in ALPHABET} == {12}


def test_nameplates_have_their_length_and_no_leading_zero() -> None:
    assert nameplate_from_random(bytes(4), 4) == "1000"
    assert nameplate_from_random((8999).to_bytes(4, "big"), 4) == "9999"
    assert nameplate_from_random(b"\xff" * 4 + bytes(4), 6) == "100000"
    with pytest.raises(ValueError, match="too few"):
        nameplate_from_random(b"\xff" * 7, 4)
    with pytest.raises(ValueError, match="4 to 6"):
        nameplate_from_random(bytes(4), 7)


def _typing_errors(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def test_the_words_are_told_apart() -> None:
    assert len(set(WORDS)) == 256
    assert all(5 <= len(word) <= 9 and word.isascii() and word.islower() for word in WORDS)
    assert len({word[:3] for word in WORDS}) == len({word[-4:] for word in WORDS}) == 256
    assert min(_typing_errors(a, b) for a in WORDS for b in WORDS if a < b) >= 3


def test_four_words_are_the_first_four_bytes() -> None:
    assert four_words(bytes([0, 255, 1, 0, 7])) == [WORDS[0], WORDS[255], WORDS[1], WORDS[0]]
    with pytest.raises(ValueError, match="four bytes"):
        four_words(b"abc")
