"""Somebody's dossier, somebody erased, and words that are kept no longer than was agreed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select, update

from farhand_server.care.retention import sweep_words
from farhand_server.care.words import ERASED
from farhand_server.desk.participants import Participant, add_participant
from farhand_server.desk.tickets import get_ticket
from farhand_server.mail.outgoing import Letter, queue_letter
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    accounts,
    address_proofs,
    api_tokens,
    attachments,
    blobs,
    csat,
    mail_recipients,
    mails,
    organisations,
    ticket_events,
    ticket_messages,
    tickets,
    time_entries,
)
from farhand_server.store.transfer import dump_rows
from tests.server.care.callers import Caller
from tests.server.care.conftest import Letters
from tests.server.relays import ManualClock, SignIn

AT = "2026-11-22T12:00:00.000000Z"
# What must be nowhere afterwards; the account's name is a common word's length on purpose.
HERS = ("Mia Santos", "mia@home.example", "+351910000001", "my landlord", "photo of me", "mia-93")


async def _everything(relay: Relay, *, but: tuple[str, ...] = ("audit",)) -> str:
    """Return all rows of the database as text, without some tables."""
    async with relay.db.read() as c:
        lines = [line.decode() async for line in dump_rows(c)]
    return "\n".join(line for line in lines if json.loads(line)["t"] not in but)


def _row(table: Table, **values: Any) -> dict[str, Any]:
    """Return a row in which whatever must be said and is not given is empty."""
    empty = {str: "", int: 0, bool: False}
    needed = {
        column.name: empty[column.type.python_type]
        for column in table.c
        if not column.nullable and column is not table.autoincrement_column
    }
    return needed | values


async def _mail(relay: Relay, *, sender: str, message: int | None, raw: bytes) -> None:
    async with relay.db.write() as c:
        digest = await keep_blob(c, relay, raw, "message/rfc822")
        values = _row(
            mails,
            tenant=relay.tenant,
            direction="in",
            mailbox="desk",
            rfc_id=f"<{digest[:8]}@x>",
            dedupe=digest,
            body_sha256=hashlib.sha256(b"body" + raw).hexdigest(),
            raw=digest,
            size=len(raw),
            envelope_from=sender,
            sender=sender,
            subject="about my landlord",
            state="done",
            ticket=1,
            message=message,
            at=AT,
        )
        made = await c.execute(insert(mails).values(values).returning(mails.c.id))
        await c.execute(
            insert(mail_recipients).values(
                _row(
                    mail_recipients,
                    tenant=relay.tenant,
                    mail=made.scalar_one(),
                    address="help@desk.example",
                    part="to",
                    state="sent",
                    at=AT,
                )
            )
        )


async def _mia(relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn) -> tuple[str, Caller]:
    """Make a person with an account, a ticket, words, a file and a mail; returns id and caller."""
    caller = Caller(ann.web, await sign_in("requester", name="mia-93"))
    await ada.post("/organisations/acme", title="Acme")
    made = await ann.post(
        "/people",
        name="Mia Santos",
        organisation="acme",
        notes="knows my landlord",
        addresses=[{"value": "mia@home.example"}, {"kind": "phone", "value": "+351 910 000 001"}],
    )
    await ada.post(f"/people/{made['id']}", account="mia-93")
    await caller.post("/tickets", title="my landlord reads my mail", body="It is my landlord.")
    await ann.post("/tickets/FH-1/assign", owner="ann")
    async with relay.db.write() as c:
        who = Participant(name="mia@home.example", part="cc", can_post=True)
        ticket = await get_ticket(c, relay.tenant, "FH-1")
        await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
    await ann.post("/tickets/FH-1/messages", body="We shall look.")
    await ann.post("/tickets/FH-1/details", title="my landlord again")
    async with relay.db.write() as c:
        seq = await c.scalar(select(func.min(ticket_messages.c.seq)))
        assert seq is not None
        digest = await keep_blob(c, relay, b"photo of me", "image/png")
        await attach(c, relay.tenant, seq, 0, digest, "photo of me.png")
        mine = (tickets.c.tenant == relay.tenant, tickets.c.number == 1)
        belongs = await c.scalar(select(organisations.c.id))
        await c.execute(
            update(tickets).where(*mine).values(person=made["id"], organisation=belongs)
        )
        await c.execute(
            insert(time_entries).values(
                _row(
                    time_entries,
                    tenant=relay.tenant,
                    id="te-1",
                    ticket=1,
                    account="ann",
                    started_at=AT,
                    ended_at=AT,
                    active_s=600,
                    note="looked",
                )
            )
        )
        await c.execute(
            insert(csat).values(
                _row(
                    csat,
                    tenant=relay.tenant,
                    id="cs-1",
                    ticket=1,
                    resolve_event=1,
                    person=made["id"],
                    resolved_by="ann",
                    state="answered",
                    score=2,
                    comment="my landlord was not helped",
                )
            )
        )
    await _mail(relay, sender="mia@home.example", message=seq, raw=b"From: Mia Santos")
    async with relay.db.write() as c:
        # One that waits to go to her, and one that quotes her.
        letter = Letter(to=["mia@home.example"], subject="Re: my landlord", text="Mia Santos said")
        await queue_letter(c, relay, letter)
    await ada.post(f"/people/{made['id']}/addresses/ask", value="mia@home.example")
    return made["id"], caller


async def test_who_is_erased_is_nowhere_and_what_was_counted_stays(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    person, caller = await _mia(relay, ada, ann, sign_in)
    before = await _everything(relay)
    assert all(words in before for words in HERS)
    assert await ann.refused(f"/people/{person}/erase", reason="asked") == "not-permitted"
    refused = await ada.refused(f"/people/{person}/erase", reason="she asked")
    assert refused == "person-has-tickets"
    before = await _everything(relay)
    assert all(words in before for words in HERS)
    await ann.post("/tickets/FH-1/resolve", note="told her")
    erased = await ada.post(f"/people/{person}/erase", reason="she asked")
    assert erased["counts"] == {
        "tickets": 1,
        "messages": 1,
        "attachments": 1,
        "mails": 2,
        "addresses": 2,
    }
    after = await _everything(relay)
    assert [words for words in HERS if words in after] == []
    # What others said, and what is counted, is as it was.
    ticket = await ann.get("/tickets/FH-1")
    assert (ticket["title"], ticket["requester"], ticket["state"]) == (ERASED, ERASED, "resolved")
    assert [one["body"] for one in ticket["messages"]] == [ERASED, "We shall look.", "told her"]
    assert ticket["time_entries"][0]["active_s"] == 600
    kinds = [one["kind"] for one in (await ann.get("/tickets/FH-1/events"))["items"]]
    assert kinds[:3] == ["created", "assigned", "participant"]
    assert "resolved" in kinds
    async with relay.db.read() as c:
        assert (await c.execute(select(csat.c.score, csat.c.comment))).one() == (2, ERASED)
        assert await c.scalar(select(func.count()).select_from(address_proofs)) == 0
        hers = select(accounts.c.id).where(accounts.c.name.startswith("erased-"))
        assert len(list(await c.scalars(hers))) == 1
        tokens = select(api_tokens.c.id).where(api_tokens.c.account.in_(hers))
        assert list(await c.scalars(tokens)) == []
        row = (await c.execute(select(attachments.c.name, attachments.c.sha256))).one()
        assert row.name == ERASED
        kept = list(await c.scalars(select(blobs.c.sha256)))
    assert kept == [row.sha256]
    # She is signed out, and her name opens nothing.
    assert await caller.missing("/tickets") == "not-signed-in"
    shown = await ann.get(f"/people/{person}")
    assert (shown["name"], shown["addresses"], shown["active"]) == (ERASED, [], False)
    assert "person.erase" in str(await ada.get("/audit", limit=500))


async def test_nobody_is_erased_twice_or_changed_afterwards(ada: Caller, ann: Caller) -> None:
    made = await ann.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    path = f"/people/{made['id']}"
    assert await ada.refused(f"{path}/erase", reason=" ") == "invalid"
    await ada.post(f"{path}/erase", reason="asked")
    assert await ada.refused(f"{path}/erase", reason="asked", force=True) == "person-erased"
    assert await ada.missing(f"{path}/dossier") == "person-erased"
    assert await ann.refused(path, notes="back") == "person-erased"
    assert await ann.refused(f"{path}/addresses", value="mia@x.example") == "person-erased"
    assert await ann.refused(f"{path}/addresses/ask", value="a@x.example") == "person-erased"
    other = await ann.post("/people", name="Other")
    assert await ann.refused(f"{path}/merge", into=other["id"]) == "person-erased"
    assert await ann.refused(f"/people/{other['id']}/merge", into=made["id"]) == "person-erased"
    # Whoever writes from that address again is somebody new.
    again = await ann.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    assert again["id"] != made["id"]


async def test_the_desk_is_not_erased(ada: Caller, ann: Caller) -> None:
    made = await ann.post("/people", name="Ann")
    await ada.post(f"/people/{made['id']}", account="ann")
    assert await ada.refused(f"/people/{made['id']}/erase", reason="x") == "person-staff"
    staff = await ann.post("/people", name="Bob", kind="staff")
    assert await ada.refused(f"/people/{staff['id']}/erase", reason="x") == "person-staff"


async def test_an_open_ticket_is_erased_by_force_and_goes_on(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    person, _ = await _mia(relay, ada, ann, sign_in)
    await ada.post(f"/people/{person}/erase", reason="asked", force=True, whole_tickets=True)
    ticket = await ann.get("/tickets/FH-1")
    assert (ticket["state"], ticket["owner"]) == ("open", "ann")
    assert {one["body"] for one in ticket["messages"]} == {ERASED}
    assert ticket["time_entries"][0]["note"] == ERASED
    after = await _everything(relay)
    assert [words for words in (*HERS, "We shall look") if words in after] == []
    assert (await ann.post("/tickets/FH-1/resolve", note="over"))["state"] == "resolved"


async def test_a_name_that_is_a_word_of_the_desk_breaks_no_measure(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    caller = Caller(ann.web, await sign_in("requester", name="customer"))
    made = await ann.post("/people", name="customer")
    await ada.post(f"/people/{made['id']}", account="customer")
    await caller.post("/tickets", title="t", body="b")
    await ann.post("/tickets/FH-1/wait", reason="customer")
    await ada.post(f"/people/{made['id']}/erase", reason="asked", force=True)
    events = (await ann.get("/tickets/FH-1/events"))["items"]
    assert [one["detail"].get("reason") for one in events if one["kind"] == "waiting"] == [
        "customer"
    ]
    assert events[0]["actor"] == ERASED


async def test_erased_words_are_found_no_more_and_what_stays_is(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    person, caller = await _mia(relay, ada, ann, sign_in)
    await ann.post("/tickets", title="somebody else's boiler", body="It is cold.")
    other = Participant(name="mia-93", part="cc", can_post=True)
    async with relay.db.write() as c:
        ticket = await get_ticket(c, relay.tenant, "FH-2")
        await add_participant(c, relay, ticket=ticket, who=other, actor="ann")
    await caller.post("/tickets/FH-2/messages", body="My neighbour whistles.")

    async def found(words: str) -> list[str]:
        hits = await ann.get("/ticket-search", q=words)
        return [hit["number"] for hit in hits["items"]]

    assert (await found("landlord"), await found("whistles")) == (["FH-1"], ["FH-2"])
    await ada.post(f"/people/{person}/erase", reason="asked", force=True)
    for words in ("landlord", "whistles", "Santos", "neighbour"):
        assert await found(words) == [], words
    assert (await found("boiler"), await found("shall look")) == (["FH-2"], ["FH-1"])
    assert await found("FH-1") == ["FH-1"]


async def test_two_of_one_content_lose_only_one(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    person, _ = await _mia(relay, ada, ann, sign_in)
    await ann.post("/tickets", title="other", body="same picture")
    async with relay.db.write() as c:
        seq = await c.scalar(select(func.max(ticket_messages.c.seq)))
        assert seq is not None
        digest = await keep_blob(c, relay, b"photo of me", "image/png")
        await attach(c, relay.tenant, seq, 0, digest, "logo.png")
    await ada.post(f"/people/{person}/erase", reason="asked", force=True)
    async with relay.db.read() as c:
        assert digest in list(await c.scalars(select(blobs.c.sha256)))


async def test_a_dossier_holds_everything_and_no_secret(
    relay: Relay,
    ada: Caller,
    ann: Caller,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farhand_server.care.dossier.TICKETS_AT_ONCE", 2)
    person, _ = await _mia(relay, ada, ann, sign_in)
    await ann.post("/tickets/FH-1/messages", kind="note", body="she sounds <b>worried</b>")
    for number in range(3):
        await ann.post("/tickets", title=f"t{number}", requester="mia-93")
    async with relay.db.write() as c:
        await c.execute(update(accounts).values(password_hash="argon2-secret"))
    assert await ann.missing(f"/people/{person}/dossier") == "not-permitted"
    first = await ada.get(f"/people/{person}/dossier")
    text = json.dumps(first)
    for words in (*HERS, "We shall look", "she sounds <b>worried</b>", "not helped", "te-1"):
        assert words in text, words
    for secret in ("argon2-secret", "token_sha256", "secret"):
        assert secret not in text, secret
    assert [one["number"] for one in first["tickets"]] == ["FH-1", "FH-2"]
    rest = await ada.get(f"/people/{person}/dossier", after=first["next"])
    assert (len(rest["tickets"]), rest["next"], rest["person"]) == (2, None, [])
    digests = [one["sha256"] for one in first["tickets"][0]["files"]]
    digests += [one["raw"] for one in first["mails"] if one["raw"]]
    contents = []
    for digest in digests:
        path = f"/api/v1/people/{person}/files/{digest}"
        answer = await ada.web.get(path, headers=ada.headers)
        assert answer.headers["content-disposition"] == "attachment"
        contents.append(answer.content)
    assert sorted(contents) == [b"From: Mia Santos", b"photo of me"]
    other = await ann.post("/people", name="Other")
    missing = await ada.missing(f"/people/{other['id']}/files/{digests[0]}")
    assert missing == "not-found"
    assert str(await ada.get("/audit", limit=500)).count("person.export") == 1


async def _age(relay: Relay, number: int, **values: Any) -> None:
    async with relay.db.write() as c:
        mine = (tickets.c.tenant == relay.tenant, tickets.c.number == number)
        await c.execute(update(tickets).where(*mine).values(**values))


async def test_words_are_kept_as_long_as_the_organisation_says(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn, clock: ManualClock
) -> None:
    await _mia(relay, ada, ann, sign_in)
    for title in ("closed", "other organisation's", "still open", "spam", "merged"):
        await ann.post("/tickets", title=f"secret {title}", body="secret body")
    async with relay.db.read() as c:
        acme = await c.scalar(select(organisations.c.id))
    old = "2026-06-01T00:00:00.000000Z"
    for number in (1, 2, 3):
        await ann.post(f"/tickets/FH-{number}/resolve", note="done")
        await ann.post(f"/tickets/FH-{number}/close")
        await _age(relay, number, closed_at=old, updated_at=old)
    await ann.post("/tickets/FH-5/spam", reason="secret ad")
    await ann.post("/tickets/FH-6/merge", into="FH-4")
    for number in (1, 2, 4, 5, 6):
        await _age(relay, number, organisation=acme)
    for number in (4, 5, 6):
        await _age(relay, number, updated_at=old)
    assert await sweep_words(relay) == 0
    await ada.post("/organisations/acme", retention_days=90)
    assert await sweep_words(relay) == 3
    hits = (await ann.get("/ticket-search", q="landlord"))["items"]
    assert hits == []
    hits = (await ann.get("/ticket-search", q="mia-93"))["items"]
    assert len(hits) == 1, "names are no words, and are found as before"
    assert await sweep_words(relay) == 0
    shown = {}
    for number in range(1, 7):
        ticket = await ann.get(f"/tickets/FH-{number}")
        bodies = {one["body"] for one in ticket["messages"] if one["ticket"] == ticket["number"]}
        shown[number] = ticket["title"] == ERASED and bodies <= {ERASED}
    assert shown == {1: True, 2: True, 3: False, 4: False, 5: True, 6: False}
    # Names and numbers are no words.
    first = await ann.get("/tickets/FH-1")
    assert (first["requester"], first["time_entries"][0]["active_s"]) == ("mia-93", 600)
    assert (first["closed_at"], first["updated_at"]) == (old, old)
    async with relay.db.read() as c:
        assert (await c.execute(select(csat.c.score, csat.c.comment))).one() == (2, ERASED)
        details = list(await c.scalars(select(ticket_events.c.detail)))
    assert not any("landlord" in detail for detail in details)
    assert "words.erase" in str(await ada.get("/audit", limit=500))
    # Words that came after are erased in their time; the merged one goes with its target.
    await ann.post("/tickets/FH-1/messages", kind="note", body="secret afterthought")
    await ann.post("/tickets/FH-4/resolve", note="done")
    await ann.post("/tickets/FH-4/close")
    clock.advance(91 * 86_400)
    assert await sweep_words(relay) >= 2
    await sweep_words(relay)
    assert "secret afterthought" not in await _everything(relay)
    left = await _everything(relay, but=("audit", "tickets"))
    assert left.count("secret body") == 1


@pytest.mark.parametrize("name", ["'; DROP TABLE people; --", "\u202egro.elpmaxe", "<img src=x>"])
async def test_strange_names_are_erased_like_others(
    relay: Relay, ada: Caller, ann: Caller, name: str, letters: Letters
) -> None:
    body = {"name": name, "addresses": [{"value": "odd%_'@x.example"}]}
    answer = await ann.web.post("/api/v1/people", headers=ann.headers, json=body)
    if not name.isprintable():
        assert answer.json()["code"] == "invalid"
        return
    person = answer.json()["id"]
    await ann.post(f"/people/{person}/addresses/ask", value="odd%_'@x.example")
    assert len(await letters()) == 1
    await ada.post(f"/people/{person}/erase", reason="asked")
    assert await letters() == []
    assert name not in await _everything(relay)
