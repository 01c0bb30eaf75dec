"""Which ticket a mail belongs to: the order, strangers, merged tickets, bounces."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from farhand_server.mail.message_ids import OwnId, make_message_id, read_message_id
from farhand_server.mail.parsed import Address, AutoClass, Bounce, FailedRecipient, ParsedMail
from farhand_server.mail.subjects import find_tags, plain_subject, tag_subject
from farhand_server.mail.threading import (
    Decision,
    Lookups,
    asked_ids,
    asked_people,
    asked_tags,
    thread,
)

KEY = b"k" * 32
ANNA = Address("anna@example.com", "Anna")


def token(ticket: int, key: bytes = KEY) -> str:
    return make_message_id(key, ticket=ticket, message=1, nonce=b"nonce!", domain="d.example")


def decide(
    mail: ParsedMail,
    *,
    stored: Mapping[str, int] | None = None,
    merged: Mapping[int, int] | None = None,
    parts: Mapping[int, set[str]] | None = None,
) -> Decision:
    def own(one: str) -> OwnId | None:
        return read_message_id(KEY, one)

    def follow(number: int) -> int | None:
        return (merged or {}).get(number, number) if number < 100 else None

    def takes_part(number: int, who: str) -> bool:
        return who in (parts or {}).get(number, set())

    return thread(mail, Lookups(own, (stored or {}).get, follow, takes_part))


def mail(**fields: object) -> ParsedMail:
    return ParsedMail(sender=ANNA, **fields)  # type: ignore[arg-type]


HERS = {n: {ANNA.mail} for n in range(1, 100)}


def test_nothing_names_a_ticket() -> None:
    assert decide(mail(subject="help")) == Decision(kind="new")
    assert decide(mail(references=("<x@y>",), in_reply_to=("<z@y>",))) == Decision(kind="new")


def test_in_reply_to_goes_before_references() -> None:
    one = decide(mail(in_reply_to=(token(3),), references=(token(1), token(2))), parts=HERS)
    assert (one.kind, one.ticket, one.by, one.may_reopen) == ("reply", 3, "token", True)


def test_a_rewritten_in_reply_to_leaves_the_references() -> None:
    one = decide(
        mail(in_reply_to=("<crm@other>",), references=(token(1), token(2), "<crm@other>")),
        parts=HERS,
    )
    assert (one.ticket, one.message_id) == (2, token(2))


def test_a_token_wins_over_a_stored_id_that_is_newer() -> None:
    both = mail(in_reply_to=("<stored@x>",), references=(token(5),))
    one = decide(both, stored={"<stored@x>": 6}, parts=HERS)
    assert (one.ticket, one.by) == (5, "token")


def test_the_customers_first_mail_is_stored() -> None:
    answer = mail(references=("<first@customer>",))
    one = decide(answer, stored={"<first@customer>": 7}, parts=HERS)
    assert one == Decision(
        kind="reply",
        ticket=7,
        named=7,
        by="stored",
        message_id="<first@customer>",
        may_reopen=True,
    )


@pytest.mark.parametrize("ids", [(token(4),), ("<stored@x>",)])
def test_a_stranger_with_an_id_is_unverified(ids: tuple[str, ...]) -> None:
    one = decide(mail(references=ids), stored={"<stored@x>": 4}, parts={4: {"bob@example.com"}})
    assert (one.kind, one.ticket, one.may_reopen) == ("unverified", 4, False)


def test_a_forged_token_names_nothing() -> None:
    assert decide(mail(references=(token(4, b"x" * 32),)), parts=HERS).kind == "new"


def test_a_tag_is_for_participants() -> None:
    tagged = mail(subject="Re: [FH-9] printer")
    assert decide(tagged, parts=HERS).by == "tag"
    assert decide(tagged, parts={8: {ANNA.mail}}) == Decision(kind="new")


def test_a_ticket_that_is_not_there_names_nothing() -> None:
    lost = mail(in_reply_to=(token(200),), references=(token(3),), subject="[FH-300]")
    assert decide(lost, parts=HERS).ticket == 3


def test_merged_is_followed() -> None:
    one = decide(mail(in_reply_to=(token(3),)), merged={3: 8}, parts={8: {ANNA.mail}})
    assert (one.kind, one.ticket, one.named) == ("reply", 8, 3)
    before = decide(mail(in_reply_to=(token(3),)), merged={3: 8}, parts={3: {ANNA.mail}})
    assert before.kind == "reply"


def test_automatic_mail_reopens_nothing() -> None:
    away = mail(in_reply_to=(token(3),), auto=AutoClass(kind="reply", reasons=("x",)))
    one = decide(away, parts=HERS)
    assert (one.kind, one.ticket, one.may_reopen) == ("reply", 3, False)


def test_nobody_takes_part_in_nothing() -> None:
    assert decide(ParsedMail(in_reply_to=(token(3),)), parts=HERS).kind == "unverified"


def test_a_bounce_goes_by_what_came_back() -> None:
    bounce = Bounce(original_ids=(token(11),), original_subject="[FH-12] hello")
    one = decide(mail(bounce=bounce))
    assert (one.kind, one.ticket, one.by, one.may_reopen) == ("bounce", 11, "token", False)
    failed = (FailedRecipient(mail="bob@example.com"),)
    by_tag = mail(bounce=Bounce(original_subject="[FH-12] hello", recipients=failed))
    bare = decide(by_tag, parts={12: {"bob@example.com"}})
    assert (bare.kind, bare.ticket, bare.by) == ("bounce", 12, "tag")
    # A number is guessed; that somebody of that ticket was not reached is not.
    assert decide(by_tag, parts={12: {ANNA.mail}}) == Decision(kind="bounce")
    assert asked_people(by_tag) == (ANNA.mail, "bob@example.com")
    assert decide(mail(bounce=Bounce())) == Decision(kind="bounce")


def test_what_will_be_asked_is_known_beforehand() -> None:
    one = mail(
        in_reply_to=("<c@x>",),
        references=("<a@x>", "<b@x>", "<c@x>"),
        subject="[FH-1] [fh-2] [FH-1]",
        bounce=Bounce(original_ids=("<o@x>",), original_subject="[FH-3]"),
    )
    assert asked_ids(one) == ("<o@x>", "<c@x>", "<b@x>", "<a@x>")
    assert asked_tags(one) == (1, 2, 3)


@pytest.mark.parametrize(
    ("subject", "tags", "plain"),
    [
        ("[FH-12] no paper", (12,), "no paper"),
        ("Re: AW: [FH-12] Fwd: no paper", (12,), "no paper"),
        ("RE[2]: Re^3: no paper", (), "no paper"),
        ("Отв: [fh-7] нет бумаги", (7,), "нет бумаги"),
        ("Encaminhar: x", (), "Encaminhar: x"),
        ("FH-12", (), "FH-12"),
        ("[FH-1234567890] [FH-0]", (), "[FH-1234567890]"),
        ("Regarding: paper", (), "Regarding: paper"),
        ("", (), ""),
    ],
)
def test_subjects(subject: str, tags: tuple[int, ...], plain: str) -> None:
    assert find_tags(subject) == tags
    assert plain_subject(subject) == plain


def test_a_subject_is_tagged_once() -> None:
    assert tag_subject("no paper", 12) == "[FH-12] no paper"
    assert tag_subject("Re: [FH-9] Re: no paper", 12) == "Re: [FH-12] no paper"
    assert tag_subject("", 12) == "[FH-12]"
    assert len(tag_subject("x" * 500, 12)) == 200
