"""Tickets: their steps, what a requester sees, time entries, and two people at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any, get_args

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk import moves
from farhand_server.desk import tickets as desk
from farhand_server.desk import time_entries as times
from farhand_server.desk.references import format_number, parse_reference
from farhand_server.desk.ticket_states import STATES, TicketEvent, next_state
from farhand_server.desk.walk_ins import create_walk_in
from farhand_server.people.people import PersonTerms, create_person
from farhand_server.relay import Relay
from farhand_server.store.schema import sessions, tickets, time_entries
from farhand_server.wording import check_body, check_line
from tests.server.desk.people import Desk
from tests.server.relays import SignIn

AT = "2026-11-22T12:00:00.000000Z"


async def test_a_ticket_goes_its_whole_way(ann: Desk) -> None:
    made = await ann.new(requester="mia", body="It is *slow*.")
    assert (made["id"], made["number"], made["state"]) == ("1", "FH-1", "new")
    assert (await ann.post("/1/assign", {"owner": "ann"})).json()["state"] == "open"
    assert (await ann.post("/fh-1/messages", {"body": "looking"})).status_code == 201
    note = await ann.post("/FH-1/messages", {"kind": "note", "body": "old disk"})
    assert note.json()["kind"] == "note"
    resolved = (await ann.post("/FH-1/resolve", {"note": "new disk"})).json()
    assert (resolved["state"], resolved["resolved_at"] is not None) == ("resolved", True)
    for step in ({"note": "again"},):
        assert (await ann.post("/FH-1/resolve", step)).json()["code"] == "ticket-state"
    reopened = (await ann.post("/FH-1/reopen", {"reason": "still slow"})).json()
    assert (reopened["state"], reopened["resolved_at"]) == ("open", None)
    assert await ann.kinds("FH-1", "messages") == ["reply", "reply", "note", "note", "note"]
    assert await ann.kinds("FH-1", "events") == [
        "created",
        "assigned",
        "reply",
        "note",
        "resolved",
        "reopened",
    ]
    shown = (await ann.get("/FH-1")).json()
    assert shown["messages"][0]["body"] == "It is *slow*."
    assert (shown["owner"], shown["revision"]) == ("ann", 6)


async def test_a_requester_sees_her_own_and_no_notes(ann: Desk, mia: Desk) -> None:
    await ann.new("hers", requester="mia")
    await ann.new("not hers", requester="bob")
    own = await mia.new("made by her", requester="somebody", body="help")
    assert own["requester"] == "mia"
    await ann.post("/FH-1/messages", {"kind": "note", "body": "internal"})
    came_to = await ann.post("/FH-1/messages", {"kind": "session", "body": "software: nothing"})
    assert came_to.json()["kind"] == "session"
    await ann.post("/FH-1/messages", {"body": "hello"})
    refused = await mia.post("/FH-1/messages", {"kind": "session", "body": "I was here"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not-permitted")
    listed = (await mia.get()).json()["items"]
    assert [one["number"] for one in listed] == ["FH-3", "FH-1"]
    shown = (await mia.get("/FH-1")).json()
    assert [one["kind"] for one in shown["messages"]] == ["reply"]
    assert await mia.kinds("FH-1", "messages") == ["reply"]
    for path in ("/FH-2", "/FH-2/messages"):
        assert (await mia.get(path)).status_code == 404
    for path in ("/FH-1/events", "/FH-1/time-entries"):
        assert (await mia.get(path)).status_code == 403
    assert (await mia.post("/FH-1/messages", {"kind": "note", "body": "x"})).status_code == 403
    assert (await mia.post("/FH-2/messages", {"body": "x"})).status_code == 404
    assert (await mia.post("/FH-1/messages", {"body": "thanks"})).status_code == 201
    assert (await mia.post("/FH-1/assign", {"owner": "ann"})).status_code == 403
    await ann.post("/FH-1/resolve", {"note": "secret reason"})
    assert (await mia.post("/FH-1/reopen", {"reason": "not yet"})).json()["state"] == "open"
    bodies = [one["body"] for one in (await mia.get("/FH-1/messages")).json()["items"]]
    assert bodies == ["hello", "thanks", "not yet"]


async def test_by_her_name_alone_a_ticket_is_hers_while_nobody_else_is_known(
    relay: Relay, ann: Desk
) -> None:
    """An account may be named by an address that is somebody else's today."""
    address = "info@x.example"
    async with relay.db.write() as c:
        bob = await create_person(c, relay, terms=PersonTerms(name="Bob"), actor="ann")
        mia = await create_person(c, relay, terms=PersonTerms(name="Mia"), actor="ann")
        given: dict[str, Any] = {"requester": address, "actor": address}
        await desk.create_ticket(c, relay, title="open", **given)
        await desk.create_ticket(c, relay, title="hers", **given, person=mia.id)
        await desk.create_ticket(c, relay, title="bob's", **given, person=bob.id)
    for person, shown in ((mia.id, ["open", "hers"]), (None, ["open"])):
        sight = desk.Sight(address, desk=False, guarded=False, person=person)
        async with relay.db.read() as c:
            listed = await desk.list_tickets(
                c, relay.tenant, wanted=desk.TicketFilter(), sight=sight
            )
            found = [await desk.find_ticket(c, relay.tenant, n, sight=sight) for n in "123"]
        assert sorted(one.title for one in listed) == sorted(shown)
        assert [one.title for one in found if one is not None] == shown
    # Whoever of the desk made a security ticket for somebody sees it.
    made = await ann.new("theft", security=True)
    async with relay.db.write() as c:
        mine = (tickets.c.tenant == relay.tenant, tickets.c.number == int(made["id"]))
        await c.execute(update(tickets).where(*mine).values(person=bob.id))
    assert (await ann.show(made["id"]))["title"] == "theft"


async def test_an_auditor_reads_and_writes_nothing(
    ann: Desk, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await ann.new()
    auditor = Desk(web, await sign_in("auditor"))
    assert (await auditor.get("/FH-1")).status_code == 200
    assert (await auditor.post("", {"title": "x"})).status_code == 403
    assert (await auditor.post("/FH-1/messages", {"body": "x"})).status_code == 403


async def test_if_match(ann: Desk) -> None:
    await ann.new()
    shown = await ann.get("/1")
    tag = shown.headers["etag"]
    assert tag == '"1"'
    first = await ann.post("/1/assign", {"owner": "ann"}, **{"If-Match": tag})
    assert first.headers["etag"] == '"2"'
    second = await ann.post("/1/resolve", {"note": "x"}, **{"If-Match": tag})
    assert (second.status_code, second.json()["code"]) == (412, "revision-mismatch")


async def test_only_people_of_the_desk_own_tickets(ann: Desk, mia: Desk) -> None:
    await ann.new()
    assert (await ann.post("/1/assign", {"owner": "nobody"})).status_code == 404
    assert (await ann.post("/1/assign", {"owner": "mia"})).status_code == 422
    assert (await mia.get()).json()["items"] == []


async def test_lists_filter_and_page(ann: Desk) -> None:
    for n in range(5):
        await ann.new(f"printer {n}", external_key=f"JIRA-{n}")
    await ann.new("100% of disk_a full")
    await ann.post("/2/assign", {"owner": "ann"})
    await ann.post("/3/resolve", {"note": "done"})

    async def numbers(**params: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = (await ann.get(**params)).json()
            found += [one["id"] for one in page["items"]]
            if page["next"] is None:
                return found
            params["cursor"] = page["next"]

    assert await numbers(limit=2) == ["6", "5", "4", "3", "2", "1"]
    assert await numbers(state="resolved") == ["3"]
    assert await numbers(owner="ann") == ["2"]
    assert await numbers(owner="none", state="new") == ["6", "5", "4", "1"]
    assert await numbers(q="PRINTER jira-3") == ["4"]
    assert await numbers(q="0%") == ["6"]
    assert await numbers(q="disk_") == ["6"]
    assert await numbers(q="%") == ["6"]
    assert (await ann.get(state="asleep")).status_code == 422
    assert (await ann.get(cursor="!!!")).status_code == 422


async def test_a_list_of_what_is_open_is_full_however_much_is_done(ann: Desk) -> None:
    for title in ("first", "second", "third", "fourth"):
        await ann.post(f"/{(await ann.new(title))['number']}/assign", {"owner": "ann"})
    await ann.post("/FH-2/wait", {"reason": "customer"})
    for number in ("FH-3", "FH-4"):
        await ann.post(f"/{number}/resolve", {"note": "done"})

    async def numbers(**params: Any) -> list[str]:
        return [one["number"] for one in (await ann.get(**params)).json()["items"]]

    assert await numbers(owner="ann", open="true", limit=2) == ["FH-2", "FH-1"]
    assert await numbers(owner="ann", open="false") == ["FH-4", "FH-3"]
    assert await numbers(state="waiting", reason="customer") == ["FH-2"]
    assert await numbers(state="waiting", reason="vendor") == []


async def test_references(ann: Desk, relay: Relay) -> None:
    await ann.new(external_key="JIRA-7")
    await ann.new(external_key="1")
    for ref, number in (("FH-1", 1), ("fh-2", 2), ("1", 1), ("JIRA-7", 1)):
        assert (await ann.get(f"/{ref}")).json()["id"] == str(number)
    for ref in ("FH-9", "jira-7", "999999999999", "%"):
        assert (await ann.get(f"/{ref}")).status_code == 404
    async with relay.db.read() as c:
        assert await desk.find_ticket(c, relay.tenant, "nul\0") is None


@pytest.mark.parametrize(
    "body",
    [
        {"title": ""},
        {"title": "two\nlines"},
        {"title": "x" * 201},
        {"title": "clear\x1b[2J"},
        {"title": "ok", "body": "bell\x07"},
        {"title": "ok", "body": "x" * 64_001},
        {"title": "ok", "requester": "\u202e"},
        {"title": "ok", "unknown": 1},
    ],
)
@pytest.mark.either_store
async def test_hostile_words_are_refused(ann: Desk, body: dict[str, Any]) -> None:
    answer = await ann.post("", body)
    assert answer.status_code == 422
    assert (await ann.get()).json()["items"] == []


async def test_numbers_are_taken_once(relay: Relay) -> None:
    async def make(n: int) -> str:
        async with relay.db.write() as c:
            return (await desk.create_ticket(c, relay, title=f"t{n}", actor="ann")).number

    made = await asyncio.gather(*(make(n) for n in range(8)))
    assert sorted(made) == [format_number(n) for n in range(1, 9)]


async def test_two_changes_at_once_do_not_mix(relay: Relay) -> None:
    async with relay.db.write() as c:
        await desk.create_ticket(c, relay, title="t", actor="ann")

    async def reopen_or_resolve(n: int) -> str:
        async with relay.db.write() as c:
            await moves.resolve(c, relay, ref="1", note=f"n{n}", actor="ann")
        return "done"

    answers = await asyncio.gather(
        *(reopen_or_resolve(n) for n in range(4)), return_exceptions=True
    )
    assert answers.count("done") == 1
    codes = {one.code for one in answers if isinstance(one, FarhandError)}
    assert codes <= {"ticket-state", "revision-mismatch"}


async def test_a_walk_in_belongs_to_its_operator(relay: Relay) -> None:
    async with relay.db.write() as c:
        made = await create_walk_in(
            c, relay, actor="ann", device="d-guest", reason="  printer\x1b \n jam "
        )
        plain = await create_walk_in(c, relay, actor="ann")
    assert (made.kind, made.state, made.owner, made.device) == ("walk-in", "open", "ann", "d-guest")
    assert made.title == "Walk-in"
    assert plain.title == "Walk-in"


async def test_of_walk_ins_at_once_there_is_one(relay: Relay) -> None:
    async def ask(actor: str, device: str | None = "d-a", **more: str) -> str:
        async with relay.db.write() as c:
            made = await create_walk_in(c, relay, actor=actor, device=device, **more)
        return made.number

    numbers = await asyncio.gather(*(ask(actor) for actor in ("ann", "bo", "ann", "cleo")))
    assert len(set(numbers)) == 1
    assert await ask("ann", device="d-b") not in numbers
    assert len({*numbers, await ask("ann", device=None), await ask("ann", device=None)}) == 3
    assert await ask("ann", external_key="HD-7") not in numbers
    assert await ask("bo") == numbers[0], "that one is somebody else's desk's"


async def test_a_session_makes_one_time_entry(relay: Relay, ann: Desk) -> None:
    await ann.new()
    async with relay.db.write() as c:
        await c.execute(
            insert(sessions).values(
                tenant=relay.tenant,
                id="s-aaaaaaaaaaaaaaaa",
                device="d-x",
                guest=False,
                ticket=1,
                operator="ann",
                state="ended",
                reason="done",
                note="private",
                scopes="view",
                created_at=AT,
                active_s=61,
            )
        )

    async def end(active_s: int) -> str:
        async with relay.db.write() as c:
            entry = await times.record_time(
                c,
                relay,
                ticket=1,
                account="ann",
                started_at=AT,
                ended_at=AT,
                active_s=active_s,
                note="changed the disk",
                session="s-aaaaaaaaaaaaaaaa",
            )
        return entry.id

    ids = await asyncio.gather(*(end(n) for n in (61, 62, 63)))
    assert len(set(ids)) == 1
    async with relay.db.read() as c:
        assert len((await c.execute(select(time_entries))).all()) == 1
    entries = (await ann.get("/1/time-entries")).json()["items"]
    assert [(one["ticket"], one["note"]) for one in entries] == [("FH-1", "changed the disk")]
    shown = (await ann.get("/1")).json()
    assert shown["active_s"] == entries[0]["active_s"]
    assert [one["session"] for one in shown["sessions"]] == ["s-aaaaaaaaaaaaaaaa"]
    assert await ann.kinds("1", "events") == ["created", "time"]


async def test_time_is_bounded_and_pages(relay: Relay, ann: Desk) -> None:
    await ann.new()
    async with relay.db.write() as c:
        for seconds in (-5, 10**9, 30):
            await times.record_time(
                c,
                relay,
                ticket=1,
                account="ann",
                started_at=AT,
                ended_at=AT,
                active_s=seconds,
                note="",
            )
    seen: list[int] = []
    params: dict[str, Any] = {"limit": 1}
    while True:
        page = (await ann.get("/1/time-entries", **params)).json()
        seen += [one["active_s"] for one in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(seen) == [0, 30, 7 * 86_400]


def test_the_table_is_closed() -> None:
    for state, step in itertools.product(STATES, get_args(TicketEvent)):
        with contextlib.suppress(FarhandError):  # refused steps change nothing
            assert next_state(state, step) in STATES
    with pytest.raises(FarhandError, match="ticket-state"):
        next_state("resolved", "assign")
    assert next_state("new", "requester-reply") == "new"
    assert next_state("new", "reply") == "open"


@given(st.text(max_size=300))
def test_any_reference_is_a_number_or_none(text: str) -> None:
    number = parse_reference(text)
    assert number is None or (
        0 <= number < 10**9 and parse_reference(format_number(number)) == number
    )


@given(st.text(max_size=300))
def test_checked_words_can_be_stored(text: str) -> None:
    for check in (check_line, check_body):
        words = "refused"
        with contextlib.suppress(UsageError):
            words = check(text, "text")
        assert "\0" not in words
        assert words.encode()
