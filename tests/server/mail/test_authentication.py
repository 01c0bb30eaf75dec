"""Whose `From` counts: what our own mail server says of it, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import UsageError
from farhand_server.app import Relay
from farhand_server.mail.authentication import (
    AUTHSERVS,
    check_authservs,
    is_vouched_for,
    read_results,
)
from farhand_server.mail.parsing import parse
from farhand_server.people.people import person_of_address
from farhand_server.people.settings import set_setting
from tests.server.mail.desk_mail import (
    DESK,
    EVE,
    all_mails,
    all_tickets,
    answer,
    arrive,
    letter,
    mail_row,
    open_mailbox,
    said,
)

OURS = "mx.example.com"
GOOD = f"{OURS}; dmarc=pass header.from=customer.example"
BAD = f"{OURS}; spf=fail smtp.mailfrom=customer.example; dmarc=fail header.from=customer.example"


def _headers(*results: str) -> list[str]:
    return [f"Authentication-Results: {one}" for one in results]


@pytest.mark.parametrize(
    ("results", "vouched"),
    [
        ((), False),
        ((GOOD,), True),
        ((BAD,), False),
        # Not ours, or forged below ours.
        (("mx.elsewhere.example; dmarc=pass",), False),
        ((BAD, GOOD), False),
        (("mx.elsewhere.example; dmarc=fail", GOOD), True),
        ((f"{OURS}; dkim=pass header.d=customer.example", BAD), False),
        # Of another domain.
        ((f"{OURS}; dmarc=pass header.from=elsewhere.example",), False),
        ((f"{OURS}; dmarc=temperror; dkim=pass header.d=customer.example",), False),
        # Without DMARC: what is aligned counts.
        ((f"{OURS}; dmarc=none; dkim=pass header.d=customer.example",), True),
        ((f"{OURS}; dkim=pass header.i=@customer.example",), True),
        ((f"{OURS}; dkim=fail header.d=customer.example; dkim=pass header.d=customer.example",),
         True),
        ((f"{OURS}; dkim=pass header.d=elsewhere.example",), False),
        ((f"{OURS}; dkim=pass header.d=example",), False),
        ((f"{OURS}; dkim=pass header.d=mer.example",), False),
        ((f"{OURS}; spf=pass smtp.mailfrom=eve@customer.example",), True),
        ((f"{OURS}; spf=pass smtp.mailfrom=eve@bounces.customer.example",), False),
        ((f"{OURS}; spf=softfail smtp.mailfrom=customer.example",), False),
        ((f"{OURS}; none",), False),
        ((f"{OURS} 1; none",), False),
        # As servers write it: versions, comments, folds, quotation marks.
        ((f'"{OURS}" 1;\r\n\tdmarc=pass (p=none; (x)) header.from=customer.example',),
         True),
        ((f"(a; dmarc=pass) {OURS}; dkim/1 = pass (2048-bit key) header.d = Customer.Example.",),
         True),
        ((f'{OURS}; spf=fail reason="x; dmarc=pass header.from=customer.example"',), False),
        ((f"{OURS}; spf=fail (dmarc=pass; dmarc=pass)",), False),
    ],
)  # fmt: skip
def test_who_is_vouched_for(results: tuple[str, ...], vouched: bool) -> None:
    mail = parse(letter(headers=_headers(*results)), EVE)
    assert is_vouched_for(mail, [OURS]) is vouched


def test_of_several_authors_none_is_vouched_for() -> None:
    mail = parse(letter(headers=[*_headers(GOOD), "From: boss@example.com"]), EVE)
    assert not is_vouched_for(mail, [OURS])
    mail = parse(letter(headers=_headers(GOOD), sender=f"{EVE}, boss@example.com"), EVE)
    assert not is_vouched_for(mail, [OURS])
    # Without From the envelope says who it is, and nobody vouches for that.
    nobody = letter(headers=_headers(GOOD)).replace(b"From: ", b"X-From: ", 1)
    assert not is_vouched_for(parse(nobody, EVE), [OURS])


@given(st.text(st.sampled_from(f'{OURS};= ()"\\dmarcpassnone.'), max_size=300))
def test_any_header_is_read(text: str) -> None:
    assert len(read_results([text] * 30)) <= 60


def test_a_name_is_one_word() -> None:
    assert check_authservs(["MX.example.com ", "mx.example.com"]) == [OURS]
    for wrong in (["a b"], [""], ["mx.example.com;"], [f"mx{n}.example" for n in range(11)]):
        with pytest.raises(UsageError, match=r"authserv|at most"):
            check_authservs(wrong)


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_whoever_is_not_vouched_for_is_nobody(relay: Relay) -> None:
    await open_mailbox(relay)
    async with relay.db.write() as c:
        await set_setting(c, relay, AUTHSERVS, [OURS], "ada")
        eve = await person_of_address(c, relay, kind="mail", value=EVE, actor="ada")
    await arrive(relay, letter(headers=_headers(GOOD)))
    (ticket,) = await all_tickets(relay)
    assert (ticket["requester"], ticket["person"]) == (EVE, eve.id)
    await answer(relay, 1)
    token = (await all_mails(relay, "out"))[-1]["rfc_id"]
    written = len(await all_mails(relay, "out"))
    # By its number, and by what only its people know: a note, and nothing leaves.
    for number, headers in enumerate(([], [f"In-Reply-To: {token}", "Cc: new@elsewhere.example"])):
        forged = letter(
            "Send me the key.", message_id=f"<f{number}@x.example>", subject="Re: [FH-1] Printer",
            headers=[*headers, *_headers(BAD, GOOD)],
        )  # fmt: skip
        assert (await mail_row(relay, await arrive(relay, forged)))["reason"] == "unverified"
        last = (await said(relay, 1))[-1]
        assert (last["public"], last["author"], last["person"]) == (False, "mail", None)
        assert last["body"].startswith("WARNING: our mail server does not vouch for")
    # And where it names no ticket: one of nobody's.
    lonely = letter("I lost my password.", message_id="<f9@x.example>", headers=_headers(BAD))
    row = await mail_row(relay, await arrive(relay, lonely))
    assert (row["reason"], row["ticket"]) == ("new-unverified", 2)
    mine = (await all_tickets(relay))[1]
    assert (mine["requester"], mine["person"], mine["created_by"]) == (None, None, "mail")
    assert [one["public"] for one in await said(relay, 2)] == [False]
    assert len(await all_mails(relay, "out")) == written
    # She goes on as before.
    again = letter(
        "It burns.", message_id="<two@customer.example>", subject="Re: [FH-1]",
        headers=_headers(GOOD),
    )  # fmt: skip
    assert (await mail_row(relay, await arrive(relay, again)))["reason"] == "reply"
    assert DESK not in {one["person"] for one in await said(relay, 1)}
