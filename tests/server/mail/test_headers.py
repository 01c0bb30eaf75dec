"""Headers, charsets, addresses, dates and file names, as they really come."""

from __future__ import annotations

import codecs
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.mail import charsets
from farhand_server.mail.addresses import normalise_address, read_addresses
from farhand_server.mail.charsets import decode_bytes, guess_text
from farhand_server.mail.dates import read_date
from farhand_server.mail.filenames import FileNames
from farhand_server.mail.headers import (
    clean_line,
    decode_base64,
    decode_header,
    read_parameters,
)
from farhand_server.mail.limits import MAX_ADDRESSES, MAX_NAME_CHARS
from farhand_server.mail.parsed import Address


def as_read(raw: bytes) -> str:
    """A header as compat32 hands it out."""
    return raw.decode("ascii", "surrogateescape")


# Charsets.


def test_every_charset_of_the_list_is_its_own_name() -> None:
    assert {codecs.lookup(name).name for name in charsets._KNOWN} == charsets._KNOWN


@pytest.mark.parametrize(
    ("raw", "charset", "text", "held"),
    [
        ("grün".encode(), "utf-8", "grün", True),
        ("grün".encode("latin-1"), "iso-8859-1", "grün", True),
        ("„grün“ €".encode("cp1252"), "ISO-8859-1", "„grün“ €", True),
        ("grün".encode(), "iso-8859-1", "grün", False),
        ("grün".encode("latin-1"), "utf-8", "grün", False),
        ("привет".encode("koi8-r"), "koi8-r", "привет", True),
        ("Добрый день, принтер не печатает".encode("cp1251"), "", None, True),
        ("Добрый день, принтер не печатает".encode("koi8-r"), "x-unknown", None, False),
        (b"hello", "us-ascii", "hello", True),
        (b"hello", "x-no-such-thing", "hello", False),
        (b"hello", "base64", "hello", False),
        (b"hello", "idna", "hello", False),
        (b"hello", "unicode_escape", "hello", False),
        (b"hello", "utf-8\0", "hello", False),
        (b"hello", "\u0130" * 9, "hello", False),
        (b"hello", "x" * 5000, "hello", False),
        ("ș și ț".encode("iso8859-16"), "iso-8859-16", "ș și ț", True),
        (b"\xff\xfe\xff", "utf-8", None, False),
        (b"abc\x81", "shift_jis", None, False),
    ],
)
def test_bytes_become_text(raw: bytes, charset: str, text: str | None, held: bool) -> None:
    found, as_promised = decode_bytes(raw, charset)
    assert as_promised is held
    if text is not None:
        assert found == text


def test_cyrillic_without_a_charset_is_guessed() -> None:
    words = "Добрый день, принтер не печатает"
    assert guess_text(words.encode("cp1251")) == words
    assert guess_text(words.encode("koi8-r")) == words
    assert guess_text("Größe läuft über".encode("cp1252")) == "Größe läuft über"


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_become_text_that_can_be_kept(raw: bytes, charset: str) -> None:
    text, _ = decode_bytes(raw, charset)
    text.encode("utf-8")


# Headers.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?gr=C3=BCn?=", "grün"),
        (b"=?UTF-8?B?Z3LDvG4=?=", "grün"),
        (b"=?utf-8?B?Z3LDvG4?=", "grün"),
        (b"=?utf-8?q?gr?= =?utf-8?q?=C3=BCn?=", "grün"),
        (b"=?utf-8?q?gr=C3?= =?utf-8?q?=BCn?=", "grün"),
        (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"),
        (b"=?utf-8?q?a_b?= c =?utf-8?q?d?=", "a b c d"),
        (b"Re:=?utf-8?q?x?=[1]", "Re:x[1]"),
        (b"=?utf-8*en?q?x?=", "x"),
        (b"=?utf-8?q?with blanks in it?=", "with blanks in it"),
        (b"=?iso-8859-2?q?=BE?=", "ž"),
        (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
        ("grün".encode(), "grün"),
        ("grün".encode("latin-1"), "grün"),
        (b"=?utf-8?q?=?=", "="),
        (b"=?utf-8?q?", "=?utf-8?q?"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=??q?abc?=", "=??q?abc?="),
        (b"a =? b", "a =? b"),
        (b"=?x-none?q?abc?=", "abc"),
        (b"=?utf-8?q?a=ZZb?=", "a=ZZb"),
        (b"", ""),
    ],
)
def test_encoded_words(value: bytes, text: str) -> None:
    assert decode_header(as_read(value))[0] == text


def test_what_was_wrong_is_told() -> None:
    assert decode_header("=?utf-8?q?x?=")[1]
    assert not decode_header("=?x-none?q?x?=")[1]
    assert not decode_header("=?utf-8?q?never closed")[1]
    assert not decode_header(as_read(b"gr\xfcn"))[1]


def test_a_line_is_printable_and_short() -> None:
    assert clean_line("a\0b\tc\r\nd", max_chars=50) == "a b c d"
    assert clean_line("ab\u202ecd\u200b\u2066ef", max_chars=50) == "abcdef"
    assert clean_line("  a \u00a0 b ", max_chars=50) == "a b"
    assert clean_line("x" * 100, max_chars=10) == "x" * 9 + "\u2026"
    assert clean_line("e\u0301", max_chars=10) == "\u00e9"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("text/plain; charset=utf-8", {"charset": "utf-8"}),
        ('text/plain; charset="utf-8"; Format=Flowed', {"charset": "utf-8", "format": "Flowed"}),
        ('a/b; filename="a; b.pdf"', {"filename": "a; b.pdf"}),
        (r'a/b; filename="a\"b.pdf"', {"filename": 'a"b.pdf'}),
        ("a/b; filename=my file.pdf", {"filename": "my file.pdf"}),
        ("a/b; filename*=utf-8''gr%C3%BCn.pdf", {"filename": "grün.pdf"}),
        ("a/b; filename*0=a; filename*1=b.pdf", {"filename": "ab.pdf"}),
        ("a/b; filename*1*=%C3%BC.pdf; filename*0*=utf-8'de'a", {"filename": "aü.pdf"}),
        ("a/b; filename=x.pdf; filename*=utf-8''y.pdf", {"filename": "y.pdf"}),
        ('a/b; name="=?utf-8?q?gr=C3=BCn.pdf?="', {"name": "grün.pdf"}),
        ('a/b; name="never closed; x=1', {"name": "never closed", "x": "1"}),
        ("a/b; =x; ;; y", {}),
        ("a/b; filename*=no-such''x%ZZ.pdf", {"filename": "x%ZZ.pdf"}),
        ("a/b; n=1; n=2", {"n": "1"}),
        ("a/b; f*99999=x", {"f": "x"}),
    ],
)
def test_parameters(value: str, named: dict[str, str]) -> None:
    assert read_parameters(value).named == named


@given(st.text(max_size=200))
def test_any_header_is_read(value: str) -> None:
    raw = value.encode("utf-8", "surrogatepass").decode("ascii", "surrogateescape")
    decode_header(raw)[0].encode("utf-8")
    read_parameters(raw)
    for one in read_addresses(raw)[0]:
        assert one.mail == normalise_address(one.mail)
        one.name.encode("utf-8")
    read_date(raw)


@pytest.mark.parametrize(
    "piece", ['"', ";", "=?", "=?a?q?", "(", "<", "<@", ",", "\\", 'a="', "=?utf-8?b?", ":", "a@b,"]
)
def test_no_header_takes_long(piece: str) -> None:
    value = (piece * 16_384)[:16_384]
    assert len(decode_header(value)[0]) <= len(value)
    assert len(read_parameters(value).named) <= 64
    assert len(read_addresses(value)[0]) <= MAX_ADDRESSES


def test_base64_is_read_for_what_it_holds() -> None:
    assert decode_base64(b"aGVs\r\nbG8=") == b"hello"
    assert decode_base64(b"aGVs!!bG8") == b"hello"
    assert decode_base64(b"aGVsbG8=\nx") == b"hello1"
    assert decode_base64(b"") == b""


# Addresses.


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("anna@example.com", [("anna@example.com", "")]),
        ("Anna <Anna@Example.COM>", [("anna@example.com", "Anna")]),
        ('"Muster, Anna" <a@b.example>', [("a@b.example", "Muster, Anna")]),
        ("=?utf-8?q?M=C3=BCller=2C_Anna?= <a@b.example>", [("a@b.example", "Müller, Anna")]),
        ("anna@example.com (Anna (at work))", [("anna@example.com", "Anna (at work)")]),
        ("a@b.c, d@e.f; g@h.i", [("a@b.c", ""), ("d@e.f", ""), ("g@h.i", "")]),
        ("Team: a@b.c, Bob <d@e.f>;", [("a@b.c", ""), ("d@e.f", "Bob")]),
        ("undisclosed-recipients:;", []),
        ("a@b.c, A@B.C", [("a@b.c", "")]),
        ('"a@bank.example" <evil@x.example>', [("evil@x.example", "a@bank.example")]),
        ("anna@grün.example", [("anna@xn--grn-ioa.example", "")]),
        ("<@relay,@other:anna@b.c>", [("anna@b.c", "")]),
        ("anna@[192.0.2.1]", [("anna@[192.0.2.1]", "")]),
        ("<a@b.c> <d@e.f>", [("a@b.c", "")]),
        ('"an na"@b.c', []),
        ("Anna", []),
        ("@b.c", []),
        ("a@", []),
        ("a@b@c.d", []),
        ("a\0@b.c", []),
        ("Anna <a@b.c", [("a@b.c", "Anna")]),
        ("<>", []),
        ("", []),
        ("\u202eanna <a@b.c>", [("a@b.c", "anna")]),
    ],
)
def test_addresses(value: str, found: list[tuple[str, str]]) -> None:
    raw = value.encode().decode("ascii", "surrogateescape")
    assert list(read_addresses(raw)[0]) == [Address(mail, name) for mail, name in found]


def test_of_too_many_addresses_the_first_are_read() -> None:
    found, good = read_addresses(",".join(f"a{n}@b.c" for n in range(MAX_ADDRESSES + 5)))
    assert len(found) == MAX_ADDRESSES
    assert not good


# Dates.


@pytest.mark.parametrize(
    ("value", "hour"),
    [
        ("Sun, 22 Nov 2026 10:00:00 +0100", 9),
        ("22 Nov 2026 10:00:00 GMT", 10),
        ("Sun, 22 Nov 2026 10:00:00 -0000", 10),
        ("Sun, 22 Nov 2026 10:00:00 +0100 (CET)", 9),
        ("2026-11-22T10:00:00Z", 10),
        ("Sun,  22  Nov  2026  10:00 +0000", 10),
    ],
)
def test_dates(value: str, hour: int) -> None:
    assert read_date(value) == datetime(2026, 11, 22, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "Sun, 99 Nov 2026 10:00:00 +0100",
        "Sun, 22 Nov 2026 10:00:00 +9999999",
        "Thu, 01 Jan 1970 00:00:00 +0000",
        "Sun, 22 Nov 99999 10:00:00 +0000",
        "x" * 5000,
        "So., 22 Nov\u00e9 2026",
        "31 Dec 9999 23:59:59 -2359",
        ":::: ,,,, ----",
    ],
)
def test_nonsense_is_no_date(value: str) -> None:
    assert read_date(value) is None


# File names.


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\x.doc", "x.doc"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\0b.txt", "a b.txt"),
        ("..", "file-1.pdf"),
        ("", "file-1.pdf"),
        ("/", "file-1.pdf"),
        ("con.txt", "_con.txt"),
        (".htaccess", "htaccess"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("name.txt. . .", "name.txt"),
        ("grün \u2603.pdf", "grün \u2603.pdf"),
        ("a\r\nb.pdf", "a b.pdf"),
        ("%2e%2e%2fx.pdf", "_2e_2e_2fx.pdf"),
    ],
)
def test_file_names(claimed: str, name: str) -> None:
    assert FileNames().take(claimed, media_type="application/pdf", place=1) == name


def test_long_names_keep_their_ending() -> None:
    name = FileNames().take("я" * 300 + ".pdf", media_type="application/pdf", place=1)
    assert name.endswith("я.pdf")
    assert len(name) <= MAX_NAME_CHARS
    assert len(name.encode()) <= 200


def test_no_name_is_given_twice() -> None:
    names = FileNames()
    taken = [names.take(one, media_type="x/y", place=1) for one in ("a.txt", "A.TXT", "a.txt", "")]
    assert taken == ["a.txt", "A (2).TXT", "a (3).txt", "file-1.bin"]


@given(st.text(max_size=400))
def test_any_name_is_safe(claimed: str) -> None:
    name = FileNames().take(claimed, media_type="application/pdf", place=1)
    assert 0 < len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name.isprintable()
    assert not name.startswith(".")
    assert name == name.strip()
