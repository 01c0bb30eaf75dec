"""Files and mails that leave the desk with hostile words in every field: they stay words.

A spreadsheet runs what begins as a formula, a mail program reads a line that a name broke off as a
header, a calendar a line as a property, a browser markup as a page.
"""

from __future__ import annotations

import csv
import email
import email.policy
import io
import mailbox
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from icalendar import Calendar

from farhand_server.channels.visits import Visit, invitation
from farhand_server.contracts.documents import Document, Section, as_csv, as_html
from farhand_server.desk.export import export_html, export_mbox
from farhand_server.desk.listing import csv_lines
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.timeline import Message
from farhand_server.mail.composing import Draft, File, compose
from farhand_server.mail.filenames import FileNames
from farhand_server.mail.subjects import tag_subject
from tests.server.desk.test_desk_tables import AT, TICKET

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TRICKS = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\r\nBcc: eve@evil.example\r\n\r\n"
    "\nFrom eve@evil.example\nEND:VEVENT\r\nATTACH:http://evil.example\x1b]0;x\x07\x1b[2J\0"
    "\u202egpj\u2066\u2069\u200e\u2028\u2029\xad\U000e0041\"';,\\"
)
FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff20x"]


def hostile(struct: Any, words: str, *fields: str) -> Any:
    """Return a struct with these words in some of its fields."""
    return msgspec.structs.replace(struct, **dict.fromkeys(fields, words))


async def _one(ticket: Ticket) -> AsyncIterator[Ticket]:
    yield ticket


@pytest.mark.parametrize("words", FORMULAS)
async def test_no_cell_of_a_list_or_a_report_is_a_formula(words: str) -> None:
    columns = ("title", "requester", "category", "number")
    ticket = hostile(TICKET, words, *columns)
    listed = b"".join([line async for line in csv_lines(_one(ticket), columns)]).decode()
    document = Document(
        title=words, subtitle=words, language="en",
        sections=[Section(words, (words,), [(words,)]), Section(words, (words,), [(words,)])],
    )  # fmt: skip
    cells = [
        *next(iter(csv.reader(io.StringIO(listed, newline=""), strict=True))),
        *(c for row in csv.reader(io.StringIO(listed, newline="")) for c in row),
        *(c for row in csv.reader(io.StringIO(as_csv(document), newline="")) for c in row),
    ]
    assert sum(cell.endswith(words) for cell in cells) >= 10
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20" and cell]


def test_a_cell_cannot_break_out_of_its_place() -> None:
    document = Document(
        title="t", subtitle="s", language="en",
        sections=[Section("s", ("a", "b"), [(TRICKS, '","=1+1","'), ("x", "y")])],
    )  # fmt: skip
    rows = list(csv.reader(io.StringIO(as_csv(document), newline=""), strict=True))
    assert rows == [["a", "b"], [TRICKS, '","=1+1","'], ["x", "y"]]


def test_a_page_of_words_holds_no_markup_of_theirs() -> None:
    said = Message(seq=1, ticket="FH-1", kind="reply", author=TRICKS, body=TRICKS, at=AT)
    fields = ("title", "queue", "requester", "owner", "state")
    document = Document(
        title=TRICKS, subtitle=TRICKS, language="en",
        sections=[Section(TRICKS, (TRICKS,), [(TRICKS,)])],
    )  # fmt: skip
    ticket: Ticket = hostile(TICKET, TRICKS, *fields)
    for page in (export_html(ticket, [said]).decode(), as_html(document)):
        assert not re.search(r"<(script|img|a|iframe)\b", page)
        assert "onerror=alert(1)&gt;" in page


def test_a_thread_for_mail_programs_has_the_headers_that_we_wrote(tmp_path: Path) -> None:
    said = Message(seq=1, ticket="FH-1", kind="note", author=TRICKS, body=TRICKS, at=AT)
    path = tmp_path / "FH-1.mbox"
    path.write_bytes(export_mbox(hostile(TICKET, TRICKS, "title"), [said, said]))
    box = mailbox.mbox(path, create=False)
    try:
        mails = list(box)
    finally:
        box.close()
    assert len(mails) == 2
    for mail in mails:
        assert mail["Bcc"] is None
        assert mail["Date"]
        assert mail["X-Farhand-Kind"] == "note"


def test_no_word_becomes_a_header_of_a_mail() -> None:
    name = FileNames().take(TRICKS, media_type=TRICKS, place=1)
    draft = Draft(
        message_id=TRICKS, sender="desk@example.com", sender_name=TRICKS, to=["ann@example.com"],
        cc=[], subject=tag_subject(TRICKS, 7), text=TRICKS, at=NOW, in_reply_to=TRICKS,
        references=TRICKS, thread_index=TRICKS, thread_topic=TRICKS, language=TRICKS,
        marker=TRICKS, mark=TRICKS, link=TRICKS,
        files=[File(name=name, media_type=TRICKS, content=b"x")],
    )  # fmt: skip
    raw = compose(draft)
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    known = {
        *("date", "from", "to", "reply-to", "subject", "message-id", "in-reply-to", "references"),
        *("thread-index", "thread-topic", "content-language", "x-farhand-mark", "content-type"),
        "mime-version",
    }
    assert {name.lower() for name in mail} <= known
    subject = str(mail["Subject"])
    assert subject.startswith("[FH-7] ")
    assert subject.isprintable()
    html = mail.get_body(("html",))
    assert html is not None
    assert not re.search(r"<(script|img|iframe)\b", html.get_content())
    assert [part.get_filename() for part in mail.iter_attachments()] == [name]


@pytest.mark.parametrize(
    "claimed",
    [
        TRICKS,
        "../../etc/passwd",
        "a\r\nSet-Cookie: x=1",
        "\u202egpj.exe",
        "CON",
        "x" * 10_000,
        "\0",
    ],
)
def test_a_files_name_is_one_plain_name(claimed: str) -> None:
    name = FileNames().take(claimed, media_type="image/png", place=1)
    assert name.isprintable()
    assert 0 < len(name.encode()) <= 255
    assert not set(name) & set('/\\<>:"|?*')
    assert name.lower() not in ("con", ".", "..")


def test_an_invitation_has_the_lines_that_we_wrote() -> None:
    visit = Visit(
        id="v-1", ticket="FH-1", technician=TRICKS, place=TRICKS, starts_at=AT, ends_at=AT,
        state="planned", sequence=0, outcome=TRICKS, time_entry=None, created_by=TRICKS,
        created_at=AT, revision=1,
    )  # fmt: skip
    card = invitation(
        visit, TRICKS, now=NOW, invited=["ann@example.com"], organizer="desk@example.com"
    )
    unfolded = re.sub(rb"\r\n[ \t]", b"", card)
    names = {re.split(rb"[:;]", line)[0] for line in unfolded.split(b"\r\n") if line}
    assert names == {
        *(b"BEGIN", b"END", b"VERSION", b"PRODID", b"METHOD", b"UID", b"SEQUENCE", b"DTSTAMP"),
        *(b"DTSTART", b"DTEND", b"SUMMARY", b"LOCATION", b"STATUS", b"ORGANIZER", b"ATTENDEE"),
    }
    assert len(Calendar.from_ical(card).walk("VEVENT")) == 1
