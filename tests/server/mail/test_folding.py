"""Folding: what is history stays out of sight, what was written stays in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.mail.folding import fold, visible_text
from farhand_server.mail.markers import is_marker, make_mark, marker_line, names_mark

KEY = b"k" * 32


@pytest.mark.parametrize(
    "attribution",
    [
        "On Sun, Nov 22, 2026 at 10:00 AM Anna Muster <anna@example.com> wrote:",
        "On Sun, Nov 22, 2026 at 10:00 AM Anna Muster <\nanna@example.com> wrote:",
        "Am So., 22. Nov. 2026 um 10:00 Uhr schrieb Anna Muster <\nanna@example.com>:",
        "Em dom., 22 de nov. de 2026 às 10:00, Anna <anna@example.com>\nescreveu:",
        "În dum., 22 nov. 2026 la 10:00, Anna <anna@example.com> a\nscris:",
        "вс, 22 нояб. 2026 г. в 10:00, Анна <anna@example.com>:",
        "Le dim. 22 nov. 2026 à 10:00, Anna <anna@example.com> a écrit :",
        "Anna Muster schrieb am 22.11.2026 um 10:00:",
        "> On 22 Nov 2026, at 10:00, Anna <anna@example.com> wrote:",
        "Anna wrote:",
    ],
)
def test_an_attribution_and_what_it_quotes_fold(attribution: str) -> None:
    text = f"It works now.\n\n{attribution}\n\n> old words\n> more\n\nand below"
    expected = "It works now.\n\nand below"
    assert visible_text(text) == expected
    assert visible_text(f"Thanks.\n{attribution}\n> old") == "Thanks."


@pytest.mark.parametrize(
    "block",
    [
        "From: Anna Muster\nSent: Sunday, November 22, 2026 10:00\nTo: Desk\nSubject: printer",
        "Von: Anna Muster\nGesendet: Sonntag, 22. November 2026 10:00\nAn: Desk\nBetreff: Drucker",
        "De: Anna\nEnviado: domingo, 22 de novembro de 2026 10:00\nPara: Desk\nAssunto: impressora",
        "De la: Anna\nTrimis: duminică, 22 noiembrie 2026 10:00\nCătre: Desk\nSubiect: imprimanta",
        "От: Анна\nОтправлено: 22 ноября 2026 г. 10:00\nКому: Desk\nТема: принтер",
        "*From:* Anna <anna@example.com>\n*Sent:* Sunday\n*To:* Desk\n*Subject:* printer",
        "De : Anna <anna@example.com>\nEnvoyé : dimanche 22 novembre 2026 10:00\nÀ : Desk",
        "From: Anna\nSent: x\nTo: a@b.c;\n d@e.f\nSubject: y",
        "From: Anna\n\nSent: x\n\nTo: Desk\n\nSubject: y",
        "Gesendet: Sonntag, 22. November 2026 um 10:00 Uhr\nVon: Anna\nAn: Desk\nBetreff: x",
        "On 22 Nov 2026 at 10:00, Anna <anna@example.com> wrote:",
        "On Sunday, 22 November 2026 at 10:00, Anna wrote:",
        "Am Sonntag, 22. November 2026 um 10:00 MEZ hat Anna <a@b.c> Folgendes geschrieben:",
    ],
)
@pytest.mark.parametrize(
    "rule", ["", "-----Original Message-----\n", "-----Ursprüngliche Nachricht-----\n", "_" * 32]
)
def test_a_block_of_headers_folds_to_the_end(rule: str, block: str) -> None:
    line = f"{rule}\n" if rule.startswith("_") else rule
    text = f"It works now.\n\n{line}{block}\n\nold words\nwithout a mark"
    assert visible_text(text) == "It works now."


@pytest.mark.parametrize(
    "text",
    [
        "Please write to anna@example.com:\nshe knows.",
        "I get this:\n> Error 5\nwhen I print.",
        "Things to do:\n- paper\n- toner: black",
        "Model: X1\nSerial: 12345\nRoom: 3",
        "From: the window\nI see it.",
        "We met at 10:00 and decided:\nno more paper.",
        "-- \njust that",
        "a -- b\n-- c",
        "> a\n> b",
        "I typed this:\n\n> install\n> run",
        "Yesterday at 10:00 Bob wrote:\nPlease call.",
        "Please call anna@example.com at 10:00:\nshe knows.",
        "It goes so:\nFrom: Lisbon\nTo: Porto\nDate: Monday\nand back.",
        "| a | b |\n| 1 | 2 |",
        "From: Anna\nSent: Sunday\nTo: Desk\nSubject: printer\n\nall of it",
        "",
    ],
)
def test_what_only_looks_like_history_stays(text: str) -> None:
    assert visible_text(text) == text.strip()


def test_a_line_of_the_writer_in_front_of_headers_stays() -> None:
    headers = "From: Anna <a@b.c>\nSent: Sunday, 22 November 2026 10:00\nTo: Desk\nSubject: x"
    assert visible_text(f"Room: 14\n{headers}\n\nold") == "Room: 14"


def test_a_line_of_dashes_goes_with_its_attribution() -> None:
    text = (
        "It works.\n\n------- Original Message -------\n"
        "On Sunday, November 22nd, 2026 at 10:00 AM, Anna <anna@example.com> wrote:\n\n> old"
    )
    assert visible_text(text) == "It works."


def test_forwarded_mail_stays() -> None:
    gmail = (
        "See below.\n\n---------- Forwarded message ---------\nFrom: Bob <bob@example.com>\n"
        "Date: Sun, Nov 22, 2026 at 10:00\nSubject: x\nTo: <a@b.c>\n\nthe matter"
    )
    assert visible_text(gmail) == gmail
    apple = (
        "See below.\n\nBegin forwarded message:\n\n> From: Bob <bob@example.com>\n> Date: 22 Nov "
        "2026 at 10:00\n> To: Anna <a@b.c>\n>\n> the matter"
    )
    assert visible_text(apple) == apple
    outlook = "See below.\n\nFrom: Bob\nSent: Sunday\nTo: Anna\nSubject: x\n\nthe matter"
    assert visible_text(outlook, subject="FW: x") == outlook
    assert visible_text(outlook, subject="RE: x") == "See below."


def test_inline_answers_stay() -> None:
    text = (
        "On 22 Nov 2026 at 10:00, Desk <desk@example.com> wrote:\n> Is it on?\n\nYes.\n\n"
        "> Is there paper?\n\nNo, why?\n\n-- \nAnna"
    )
    assert visible_text(text) == "Yes.\n\nNo, why?"


def test_signatures_fold() -> None:
    assert visible_text("Hello\n\n-- \nAnna\nMuster GmbH") == "Hello"
    assert visible_text("Hello\n\nSent from my iPhone") == "Hello"
    assert visible_text("Hallo\n\nVon meinem iPhone gesendet") == "Hallo"
    long = "Hello\n--\n" + "line\n" * 30
    assert visible_text(long) == long.strip()


@pytest.mark.parametrize("language", ["en", "pt", "de", "ro", "ru", "de-AT", "xx", ""])
def test_our_own_mail_folds_from_marker_to_mark(language: str) -> None:
    marker, mark = marker_line(language), make_mark(KEY, 12)
    assert is_marker(marker)
    assert is_marker(f"> {marker}")
    assert names_mark(f"*{mark}*")
    text = f"New words.\n\n{marker}\n\nOur words: paper?\n\n{mark}\n\nBelow it."
    assert visible_text(text) == "New words.\n\nBelow it."
    attributed = f"New.\nAm 22.11.2026 um 10:00 schrieb Desk:\n\n{marker}\nOurs\n{mark}"
    assert visible_text(attributed) == "New."


def test_marks_differ_by_ticket_and_by_relay() -> None:
    assert len({make_mark(KEY, 1), make_mark(KEY, 2), make_mark(b"x" * 32, 1)}) == 3
    assert not names_mark("fh-12")
    assert not is_marker("-- Anna --")


_PIECES = st.sampled_from(
    [
        "words", "> quoted", "", "--", "On 22 Nov 2026 at 10:00, a@b.c wrote:", "From: a@b.c",
        "Sent: 10:00", "To: x", "Subject: y", "-----Original Message-----", marker_line("en"),
        make_mark(KEY, 1), "Begin forwarded message:", "Sent from my iPhone", "_____________", ">",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=25), st.sampled_from(["", "Fwd: x"]))
def test_ranges_are_ordered_whole_lines_and_leave_something(
    pieces: list[str], subject: str
) -> None:
    text = "\n".join(pieces)
    folds = fold(text, subject=subject)
    at = 0
    for one in folds:
        assert at <= one.start < one.end <= len(text)
        assert one.start == 0 or text[one.start - 1] == "\n"
        assert one.end == len(text) or text[one.end - 1] == "\n"
        at = one.end
    if any(one.kind == "history" for one in folds):
        kept = "".join(
            text[end:start]
            for end, start in zip(
                [0, *(one.end for one in folds)],
                [*(one.start for one in folds), len(text)],
                strict=True,
            )
        )
        assert kept.strip()


@pytest.mark.parametrize(
    "piece",
    [
        "> \n",
        "\n",
        ":\n",
        "From: a@b.c\n",
        "10:00 a@b.c wrote:\n",
        "-" * 300 + "\n",
        "--\n",
        " ",
        ">\nx\n",
        "> a\n\nx\n",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * 60_000)[:60_000]
    assert len(fold(text)) <= len(text)
