"""A mail's bytes into what it says: bodies, files, bounds, and no exception ever."""

from __future__ import annotations

import base64
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.mail.flowed import unflow
from farhand_server.mail.limits import (
    MAX_DEPTH,
    MAX_FILES,
    MAX_HTML_CHARS,
    MAX_MAIL_BYTES,
    MAX_PARTS,
    MAX_TEXT_CHARS,
)
from farhand_server.mail.parsed import Address, ParsedMail
from farhand_server.mail.parsing import parse

HEAD = (
    b"From: Anna <anna@example.com>\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@x>\r\n"
)


def mail(headers: str, body: str | bytes = "") -> ParsedMail:
    content = body.encode() if isinstance(body, str) else body
    return parse(HEAD + headers.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + content)


def multipart(kind: str, *parts: str) -> ParsedMail:
    body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    return mail(f"Content-Type: multipart/{kind}; boundary=b", body)


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nhello"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>hello <b>you</b></p>"
PNG = (
    "Content-Type: image/png; name=a.png\nContent-ID: <pic@x>\n"
    "Content-Transfer-Encoding: base64\n\niVBO"
)


def test_a_plain_mail() -> None:
    one = mail("Subject: no paper\nTo: desk@example.com\nCc: Bob <bob@example.com>", "It is out.")
    assert one.sender == Address("anna@example.com", "Anna")
    assert (one.subject, one.text, one.html) == ("no paper", "It is out.", "")
    assert one.cc == (Address("bob@example.com", "Bob"),)
    assert (one.defects, one.quarantine, one.auto.auto) == ((), "", False)


def test_alternatives_are_one_body() -> None:
    one = multipart("alternative", PLAIN, HTML)
    assert (one.text, one.html, one.files) == ("hello", "<p>hello <b>you</b></p>", ())


def test_html_alone_becomes_text() -> None:
    one = mail("Content-Type: text/html", "<p>hello <b>you</b></p>")
    assert one.text == "hello you"
    empty = multipart("alternative", "Content-Type: text/plain\n\n \n", HTML)
    assert empty.text == "hello you"


def test_pictures_of_the_html_are_inline_others_are_files() -> None:
    shown = HTML.replace("hello", '<img src="cid:pic@x">hello')
    one = multipart("related", shown, PNG)
    assert [(f.name, f.inline_cid) for f in one.files] == [("a.png", "pic@x")]
    other = multipart("related", HTML, PNG)
    assert [(f.name, f.inline_cid) for f in other.files] == [("a.png", "")]
    vector = PNG.replace("image/png", "image/svg+xml")
    assert multipart("related", shown, vector).files[0].inline_cid == ""


def test_text_around_a_picture_is_whole() -> None:
    one = multipart("mixed", PLAIN, PNG, PLAIN.replace("hello", "goodbye"))
    assert one.text == "hello\n\ngoodbye"
    assert [f.name for f in one.files] == ["a.png"]
    both = multipart("mixed", HTML, PNG, PLAIN.replace("hello", "<goodbye>"))
    assert both.text == "hello you\n\n<goodbye>"
    assert "&lt;goodbye&gt;" in both.html


def test_text_with_a_name_is_a_file() -> None:
    named = 'Content-Type: text/plain; name="log.txt"\n\nlines'
    disposed = "Content-Type: text/plain\nContent-Disposition: attachment\n\nlines"
    one = multipart("mixed", PLAIN, named, disposed)
    assert one.text == "hello"
    assert [(f.name, f.content) for f in one.files] == [
        ("log.txt", b"lines"),
        ("file-2.txt", b"lines"),
    ]


def test_signed_and_encrypted() -> None:
    signature = "Content-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN"
    signed = multipart("signed", PLAIN, signature)
    assert (signed.protection, signed.text) == ("signed", "hello")
    assert [f.name for f in signed.files] == ["signature.asc"]
    sealed = multipart(
        "encrypted",
        "Content-Type: application/pgp-encrypted\n\nVersion: 1",
        "Content-Type: application/octet-stream; name=encrypted.asc\n\n-----BEGIN PGP MESSAGE",
    )
    assert (sealed.protection, sealed.text, len(sealed.files)) == ("encrypted", "", 2)
    smime = mail("Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m")
    assert (smime.protection, smime.files[0].name) == ("encrypted", "smime.p7m")


def test_what_is_closed_stays_closed() -> None:
    inner = "Content-Type: message/rfc822\n\nSubject: about money\nFrom: x@y.z\n\nsecret words"
    calendar = "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR"
    tnef = "Content-Type: application/ms-tnef; name=winmail.dat\n\nxx"
    one = multipart("mixed", PLAIN, inner, calendar, tnef)
    assert one.text == "hello"
    assert [f.name for f in one.files] == ["about money.eml", "file-2.ics", "winmail.dat"]
    assert b"secret words" in one.files[0].content


@pytest.mark.parametrize(
    ("encoding", "content", "text"),
    [
        ("base64", "aGVsbG8=", "hello"),
        ("BASE64", "aGV\nsbG8", "hello"),
        ('"quoted-printable"', "gr=C3=BCn=\nhell =3D", "grünhell ="),
        ("x-uuencode", "begin 644 x\n%:&5L;&\\\n`\nend", "hello"),
        ("8bit", "grün", "grün"),
        ("nonsense", "hello", "hello"),
    ],
)
def test_transfer_encodings(encoding: str, content: str, text: str) -> None:
    headers = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}"
    assert mail(headers, content).text == text


def test_flowed_paragraphs_are_whole() -> None:
    flowed = "one \ntwo\n> a \n> b\n>> c\n-- \nAnna"
    one = mail("Content-Type: text/plain; format=flowed", flowed)
    assert one.text == "one two\n> a b\n>> c\n--\nAnna"
    assert unflow("auto \nmobil", delete_space=True) == "automobil"


def test_control_characters_do_not_come_through() -> None:
    one = mail("Subject: a\0b\u202ec\x1b[31m", "x\0y\x1b[31mz\x07\r\nnext\u2028line")
    assert one.subject == "a bc[31m"
    assert one.text == "xy[31mz\nnext\nline"
    assert "nul" in one.defects


# What cannot be understood.


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no-headers"),
        (b"\0" * 100, "no-headers"),
        (b"just words\nand more", "no-headers"),
        (b"Subject: x\n\nwho am I", "no-sender"),
        (b"From: nobody\n\nx", "no-sender"),
        (b"From: a@b.c\n\n" + b"x" * MAX_MAIL_BYTES, "too-large"),
    ],
    ids=["empty", "nul", "words", "no-from", "name-only", "large"],
)
def test_the_quarantine(raw: bytes, reason: str) -> None:
    one = parse(raw)
    assert one.quarantine == reason
    assert reason == "no-headers" or reason in one.defects


def test_the_envelope_stands_in_for_a_missing_from() -> None:
    one = parse(b"Subject: x\n\nbody", "Anna@Example.com")
    assert one.sender == Address("anna@example.com")
    assert one.quarantine == ""
    assert parse(b"Subject: x\n\nbody", "").quarantine == ""


def nested(depth: int) -> bytes:
    raw = HEAD
    for level in range(depth):
        raw += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level)
    return raw + b"Content-Type: text/plain\n\nhello"


def test_depth_is_bounded() -> None:
    assert parse(nested(MAX_DEPTH)).text == "hello"
    deep = parse(nested(MAX_DEPTH + 1))
    assert (deep.quarantine, deep.sender) == ("too-deep", Address("anna@example.com", "Anna"))
    assert parse(nested(5000)).quarantine == "too-deep"


def test_parts_and_files_are_bounded() -> None:
    many = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000
    assert parse(many).quarantine == "too-many-parts"
    files = multipart("mixed", *["Content-Type: a/b\n\nx"] * (MAX_PARTS - 1))
    assert len(files.files) == MAX_FILES
    assert "too-many-files" in files.defects
    assert len({f.name for f in files.files}) == MAX_FILES


def test_long_texts_are_cut_and_giant_html_is_only_text() -> None:
    one = mail("Content-Type: text/plain", "x" * (MAX_TEXT_CHARS + 1))
    assert (len(one.text), one.defects) == (MAX_TEXT_CHARS, ("text-cut",))
    giant = mail("Content-Type: text/html", "<p>hello</p>" + " " * MAX_HTML_CHARS)
    assert (giant.html, giant.text) == ("", "hello")


def test_the_same_mail_has_the_same_digest_however_it_came() -> None:
    by_lmtp = parse(HEAD + b"Received: one\r\n\r\nbody\r\nmore\r\n")
    by_imap = parse(HEAD.replace(b"\r\n", b"\n") + b"\nbody\nmore")
    assert by_lmtp.body_sha256 == by_imap.body_sha256
    assert parse(HEAD + b"\r\nother").body_sha256 != by_lmtp.body_sha256


def test_thirty_megabytes_are_taken() -> None:
    line = base64.b64encode(bytes(range(57))) + b"\r\n"
    count = 30 * 1024 * 1024 // 57
    raw = (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee file\r\n--b\r\n"
        + b"Content-Type: application/zip; name=big.zip\r\n"
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + line * count
        + b"--b--\r\n"
    )
    one = parse(raw)
    assert (one.text, one.defects) == ("see file", ())
    assert len(one.files[0].content) == 57 * count


@functools.cache
def _hostile() -> dict[str, bytes]:
    big = 400_000
    html = HEAD + b"Content-Type: text/html\n\n"
    typed = HEAD + b"Content-Type: multipart/mixed; boundary=b; "
    return {
        "one line": HEAD + b"\n" + b"x" * big,
        "one header": HEAD + b"Subject: " + b"x" * big,
        "many headers": HEAD + b"A: b\n" * (big // 5) + b"\n",
        "folded": HEAD + b"Subject: x\n" + b" y\n" * (big // 3) + b"\n",
        "semicolons in quotes": typed + b'x="' + b";" * big + b"\n\n",
        "quotation marks": typed + b'";' * (big // 2) + b"\n\n",
        "blanks, quoted-printable": HEAD
        + b"Content-Transfer-Encoding: quoted-printable\n\n"
        + b" " * big
        + b"x",
        "carriage returns": HEAD + b"\n" + b"x\r" * (big // 2),
        "tags unclosed": html + b"<a " * (big // 3),
        "comments unclosed": html + b"<!--" * (big // 4),
        "declarations": html + b"<!" * (big // 2),
        "quotes unclosed": html + b"<a b=\"'<a b='" * (big // 13),
        "blanks in a tag": html + b"<a" + b" " * big + b"=",
        "blocks": html + b"<div>" * (big // 5),
        "quotations": html + b"<blockquote>x" * (big // 13),
        "ends of nothing": html + b"</b>" * (big // 4),
        "scripts unclosed": html + b"<script><" * (big // 9),
        "references": HEAD + b"References: " + b"<" * 16_000 + b"\n\n",
        "addresses": HEAD + b"To: " + b'"(<' * 5_000 + b"\n\n",
        "boundaries": typed + b"\n\n" + b"--b\n" * (big // 4),
        "character references": html + b"&" * big,
        "giant reference": html + b"&#" + b"9" * 10_000 + b";",
        "subject words": HEAD + b"Subject: " + b"=?a?q?" * 3_000 + b"\n\n",
        "bounce prose": HEAD.replace(b"anna@", b"mailer-daemon@")
        + b"Subject: failure notice\n\n"
        + b"a@" * (big // 2),
        "dashes": HEAD.replace(b"anna@", b"mailer-daemon@") + b"\n" + b"- " * (big // 2),
    }


@pytest.mark.parametrize("name", sorted(_hostile()))
def test_no_mail_takes_long(name: str) -> None:
    # A tenth of a second each.  Where time grows with the square it is hours, which the time that
    # every test has ends.
    assert parse(_hostile()[name]).quarantine != "not-understood"


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_mail_or_are_quarantined(raw: bytes) -> None:
    one = parse(raw)
    assert one.quarantine != "not-understood"


_LINES = st.sampled_from(
    [
        "From: a@b.c", "From: <>", "To: x:a@b.c;", "Subject: =?x?q?=ff?=", "Message-ID: <>",
        "Content-Type: multipart/mixed; boundary=b", "Content-Type: multipart/report; boundary=b",
        "Content-Type: message/delivery-status", "Content-Type: message/rfc822", "--b", "--b--", "",
        "Content-Type: text/html; charset=\0", "Content-Type: text/plain; charset=utf-7", "\udcff",
        "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: uuencode", "begin 6 x",
        "Final-Recipient: rfc822;a@b.c", "Action: failed", "Status: 5.1.1", "<p", "<!--", " folded",
        "Return-Path: <>", "Date: x", "References: <a@b", "Content-Disposition: attachment;",
        " filename*0*=x''%ff", "Precedence: list", "X-Failed-Recipients: ,", "Host: a", "&#99;",
    ]
)  # fmt: skip


@given(st.lists(_LINES, max_size=40), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_order_of_mail_like_lines_is_understood(lines: list[str], end: str) -> None:
    raw = end.join(lines).encode("utf-8", "surrogateescape")
    one = parse(raw)
    assert one.quarantine != "not-understood"
    for text in (one.subject, one.text, one.html, *(file.name for file in one.files)):
        text.encode("utf-8")
        assert "\0" not in text


def test_what_we_fail_at_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("farhand_server.mail.parsing.read_body", fail)
    assert mail("Subject: x").quarantine == "not-understood"
