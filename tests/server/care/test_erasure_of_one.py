"""Erasing one person: what others wrote and wait for stays theirs, and nothing of hers is left."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from farhand_server.api.assistant import NewHandover, _as_stranger
from farhand_server.care.known import Known, traces_of
from farhand_server.care.words import ERASED
from farhand_server.desk.participants import Participant, add_participant
from farhand_server.desk.tickets import get_ticket
from farhand_server.mail.outgoing import Letter, hold_mail, queue_letter
from farhand_server.outbox.items import put
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    assistant_talks,
    assistant_turns,
    mail_recipients,
    mails,
    outbox,
    ticket_events,
    ticket_instructions,
    ticket_messages,
    visits,
)
from farhand_server.store.transfer import dump_rows
from tests.server.care.callers import Caller
from tests.server.relays import SignIn

AT = "2026-11-22T12:00:00.000000Z"


async def _left(relay: Relay, *words: str) -> list[str]:
    """Return the rows in which one of some words stands, but for the audit's."""
    async with relay.db.read() as c:
        lines = [line.decode() async for line in dump_rows(c)]
    return [
        line
        for line in lines
        if json.loads(line)["t"] != "audit" and any(word in line for word in words)
    ]


async def _payloads(relay: Relay) -> list[dict[str, Any]]:
    async with relay.db.read() as c:
        texts = list(await c.scalars(select(outbox.c.payload).order_by(outbox.c.created_at)))
    return [json.loads(text) for text in texts]


async def _letter(relay: Relay, letter: Letter) -> int:
    async with relay.db.write() as c:
        made = await queue_letter(c, relay, letter)
    assert made is not None
    return made


async def test_what_waits_for_others_goes_to_them(relay: Relay, ada: Caller) -> None:
    made = await ada.post("/people", name="A", addresses=[{"value": "a@x.example"}])
    async with relay.db.write() as c:
        for key, to, cc in (
            ("other", ["maria@x.example"], []),
            ("both", ["a@x.example"], ["bob@x.example"]),
            ("hers", ["A@x.example"], []),
        ):
            letter = {"to": to, "cc": cc, "subject": key, "text": "hi", "auto": False}
            await put(c, relay, kind="mail", payload=letter)
        body = json.dumps({"said": "FH-9; cc a@x.example, maria@x.example"})
        await put(c, relay, kind="webhook", payload={"webhook": "w", "event": "e", "body": body})
        await put(c, relay, kind="connector", payload={"connector": "j", "text": "(a@x.example)"})
    await ada.post(f"/people/{made['id']}/erase", reason="asked")
    items = await _payloads(relay)
    told = {one["subject"]: (one["to"], one["cc"]) for one in items if "subject" in one}
    assert told == {"other": (["maria@x.example"], []), "both": ([], ["bob@x.example"])}
    [hook] = [one for one in items if "webhook" in one]
    assert json.loads(hook["body"]) == {"said": f"FH-9; cc {ERASED}, maria@x.example"}
    assert [one["text"] for one in items if "connector" in one] == [f"({ERASED})"]


async def test_a_mail_that_others_get_too_still_goes_to_them(
    relay: Relay, ada: Caller, ann: Caller
) -> None:
    made = await ada.post("/people", name="A", addresses=[{"value": "a@x.example"}])
    await ann.post("/tickets", title="Bob's boiler", requester="bob@x.example")
    to, cc = ["bob@x.example"], ["a@x.example"]
    shared = await _letter(relay, Letter(to=to, cc=cc, subject="s", text="It is warm.", ticket=1))
    alone = await _letter(relay, Letter(to=cc, subject="s", text="for her"))
    held = await _letter(relay, Letter(to=cc, subject="s", text="held for her"))
    async with relay.db.write() as c:
        await hold_mail(c, relay, mail=held, actor="ann")
    await ada.post(f"/people/{made['id']}/erase", reason="asked")
    async with relay.db.read() as c:
        rows = {row.id: row for row in (await c.execute(select(mails))).all()}
        got = await c.execute(select(mail_recipients.c.mail, mail_recipients.c.address))
        assert [tuple(row) for row in got] == [(shared, "bob@x.example")]
    assert (rows[shared].state, rows[shared].subject) == ("queued", "s")
    assert json.loads(rows[shared].letter)["text"] == "It is warm."
    for mail in (alone, held):
        assert (rows[mail].state, rows[mail].letter, rows[mail].subject) == (
            "dropped",
            None,
            ERASED,
        )
    assert await _left(relay, "a@x.example") == []


async def test_events_keep_addresses_in_which_hers_stands(
    relay: Relay, ada: Caller, ann: Caller
) -> None:
    made = await ann.post("/people", name="A", addresses=[{"value": "a@x.example"}])
    await ann.post("/tickets", title="t", body="b", requester="a@x.example")
    async with relay.db.write() as c:
        ticket = await get_ticket(c, relay.tenant, "FH-1")
        for name in ("maria@x.example", "a@x.example"):
            who = Participant(name=name, part="cc", can_post=True)
            await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
    await ada.post(f"/people/{made['id']}/erase", reason="asked", force=True)
    async with relay.db.read() as c:
        query = select(ticket_events.c.detail).where(ticket_events.c.kind == "participant")
        names = [json.loads(one)["name"] for one in await c.scalars(query)]
    assert names == ["maria@x.example", ERASED]


@pytest.mark.parametrize(
    ("text", "is_hers"),
    [
        ("a@x.example", True),
        ("Write to A@X.example.", True),
        ("<a@x.example>, b", True),
        ("'a@x.example'", True),
        ("mailto:a@x.example?x", True),
        ("maria@x.example", False),
        ("m.a@x.example", False),
        ("m+a@x.example", False),
        ("o'a@x.example", False),
        ("a@x.example.org", False),
        ("a@x.example-b.org", False),
        ("call +351910000001!", True),
        ("+3519100000012", False),
    ],
)
def test_an_address_is_found_whole(text: str, is_hers: bool) -> None:
    known = Known(
        ids=["p-1"], account_ids=[], names=["a@x.example", "ann"], phones=["+351910000001"]
    )
    traces = traces_of(known)
    assert traces is not None
    assert (traces.search(text) is not None) == is_hers


async def test_a_name_of_somebody_else_is_not_hers(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    desk = Caller(ann.web, await sign_in("technician", name="tom@x.example"))
    bea = Caller(ann.web, await sign_in("requester", name="bea@x.example"))
    for caller in (ann, desk):
        await caller.post("/tickets", title="bob's", body="b", requester="bob@x.example")
    await bea.post("/tickets", title="bea's", body="bea's words")
    await ann.post("/tickets/FH-1/messages", body="ann's words")
    await desk.post("/tickets/FH-2/messages", body="tom's words")
    called = [{"kind": "chat", "value": "ann"}, {"value": "mia@x.example"}]
    # Written down by somebody, and proved by nobody.
    called += [{"value": "tom@x.example"}, {"value": "bea@x.example"}]
    made = await ann.post("/people", name="Mia", addresses=called)
    dossier = await ada.get(f"/people/{made['id']}/dossier")
    assert dossier["tickets"] == []
    await ada.post(f"/people/{made['id']}/erase", reason="asked")
    async with relay.db.read() as c:
        rows = await c.execute(select(ticket_messages.c.author, ticket_messages.c.body))
        said = {row.body: row.author for row in rows}
    assert said["ann's words"] == "ann"
    assert said["tom's words"] == "tom@x.example"
    assert said["bea's words"] == "bea@x.example"


async def _strangers_ticket(relay: Relay, ada: Caller) -> str:
    """Make a ticket of Mia's out of a talk that she began without a sign-in; returns her id."""
    made = await ada.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    async with relay.db.write() as c:
        data = NewHandover(address="mia@x.example")
        number = await _as_stranger(c, relay, data, "my landlord", "my landlord reads")
        mine = {"tenant": relay.tenant, "token_hash": "h-1"}
        await c.execute(insert(assistant_talks).values(begun_at=AT, ticket=number, **mine))
        turn = {"turn": 1, "question": "my landlord?", "answer": "my landlord!", "at": AT}
        await c.execute(insert(assistant_turns).values(citations="[]", **turn, **mine))
    return str(made["id"])


async def test_what_the_relay_wrote_in_her_words_goes(relay: Relay, ada: Caller) -> None:
    mia = await _strangers_ticket(relay, ada)
    times = {"starts_at": "2027-11-23T09:00:00Z", "ends_at": "2027-11-23T10:00:00Z"}
    await ada.post("/visits", ticket="FH-1", place="Rua Um", technician="ada", **times)
    await ada.post("/organisations/maker", title="Maker")
    vendor = [{"value": "v@vendor.example"}]
    await ada.post("/people", name="V", kind="vendor", organisation="maker", addresses=vendor)
    await ada.post("/tickets/FH-1/vendor", to="maker")
    await ada.post("/tickets/FH-1/messages", body="1. Open the flap.")
    async with relay.db.write() as c:
        asked = await c.scalar(select(func.max(ticket_messages.c.seq)))
        step = {"message": asked, "place": 1, "ticket": 1, "words": "Open the flap."}
        said = {"answer": "cannot", "reason": "my landlord has the key", "answered_at": AT}
        who = {"tenant": relay.tenant, "answered_by": "mia@x.example"}
        await c.execute(insert(ticket_instructions).values(**step, **said, **who))
        bounced = {"kind": "note", "author": "relay", "body": "Not sent:\n- mia@x.example: no"}
        row = {"tenant": relay.tenant, "ticket": 1, "at": AT, **bounced}
        await c.execute(insert(ticket_messages).values(row))
    assert len(await _left(relay, "Rua Um")) >= 3, "the visit, the words of it, the mail"
    assert any("Our reference" in line for line in await _left(relay, "my landlord"))
    await ada.post(f"/people/{mia}/erase", reason="asked", force=True)
    left = await _left(relay, "landlord", "Rua Um", "mia@x.example")
    assert left == [], left
    async with relay.db.read() as c:
        steps = await c.execute(select(ticket_instructions.c.words, ticket_instructions.c.reason))
        assert [tuple(row) for row in steps] == [("Open the flap.", ERASED)]
        assert list(await c.scalars(select(visits.c.state))) == ["planned"]
        notes = list(await c.scalars(select(ticket_messages.c.body)))
    assert f"Not sent:\n- {ERASED}: no" in notes


async def test_a_letter_to_a_vendor_that_is_tried_again_goes_no_more(
    relay: Relay, ada: Caller, ann: Caller
) -> None:
    mia = await _strangers_ticket(relay, ada)
    await ann.post("/tickets/FH-1/messages", body="We look.")
    letter = Letter(to=["v@vendor.example"], subject="my landlord", text="my landlord", ticket=1)
    quoting = await _letter(relay, letter)
    async with relay.db.write() as c:
        seq = await c.scalar(select(func.max(ticket_messages.c.seq)))
        # Her server did not answer yet.
        await c.execute(update(mails).where(mails.c.id == quoting).values(state="sending"))
    to = ["bob@x.example"]
    letter = Letter(to=to, subject="my landlord", text="We look.", ticket=1, message=seq)
    answer = await _letter(relay, letter)
    await ada.post(f"/people/{mia}/erase", reason="asked", force=True)
    async with relay.db.read() as c:
        rows = (await c.execute(select(mails.c.id, mails.c.state))).all()
        letters = [one for one in await c.scalars(select(mails.c.letter)) if one]
    # What the desk says to others on her ticket goes, without her title.
    states = {row.id: row.state for row in rows}
    assert (states[quoting], states[answer]) == ("dropped", "queued")
    assert [json.loads(one)["text"] for one in letters] == ["We look."]
    assert await _left(relay, "landlord") == []


async def test_the_logo_stays_where_a_signature_had_it_too(
    relay: Relay, ada: Caller, ann: Caller
) -> None:
    png = b"\x89PNG\r\n\x1a\nlogo"
    await ada.post("/looks", logo=base64.b64encode(png).decode())
    made = await ann.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    await ann.post("/tickets", title="t", body="w", requester="mia@x.example")
    async with relay.db.write() as c:
        seq = await c.scalar(select(ticket_messages.c.seq))
        assert seq is not None
        digest = await keep_blob(c, relay, png, "image/png")
        await attach(c, relay.tenant, seq, 0, digest, "signature.png")
    path = f"/people/{made['id']}/erase"
    await ada.post(path, reason="asked", force=True, whole_tickets=True)
    assert (await ann.web.get("/pages/logo")).content == png
