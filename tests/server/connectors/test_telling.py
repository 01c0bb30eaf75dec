"""What other desks are told and say: summaries only, once, of tickets that the desk joined."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, update

from farhand_protocol.codes import ALPHABET, format_code
from farhand_server.connectors.desks import ForeignEvent
from farhand_server.connectors.opening import note_events
from farhand_server.connectors.summary import without_codes
from farhand_server.connectors.telling import sweep_sessions
from farhand_server.desk.moves import resolve
from farhand_server.desk.tickets import create_ticket
from farhand_server.desk.time_entries import record_time
from farhand_server.heeders import heed_now
from farhand_server.outbox.items import list_items, retry
from farhand_server.outbox.sending import send_due
from farhand_server.relay import Relay
from farhand_server.senders import SENDERS
from farhand_server.store.schema import outbox, sessions
from farhand_server.webhooks.signing import hex_hmac
from tests.server.outbox.listening import Asked, Listener, Told, listening, told
from tests.server.relays import ManualClock, SignIn

pytestmark = pytest.mark.either_store

API = "/api/v1/connectors"
ENDED = "2026-11-22T11:59:00.000000Z"
CODE = format_code("4071", "H7M3QX")


class Desk:
    """A Jira that answers, and an admin of ours who joined it."""

    def __init__(
        self, relay: Relay, web: httpx.AsyncClient, admin: dict[str, str], listener: Listener
    ) -> None:
        self.relay, self.web, self.admin, self.listener = relay, web, admin, listener
        self.status = 201
        listener.answer = self.answer

    def answer(self, asked: Asked) -> Told:
        if asked.method == "POST":
            return told({"id": "1"}, self.status)
        if asked.path.split("?")[0].endswith("/comment"):
            posted = [one for one in self.posted("comment") if self.status == 201]
            return told({"comments": [{"body": one["body"]} for one in posted]})
        issue = {"summary": "Slow\x1b[31m", "reporter": {"displayName": "Mia"}}
        return told({"key": "ED-1", "fields": issue})

    def posted(self, what: str) -> list[Any]:
        return [
            one.json
            for one in self.listener.asked
            if one.method == "POST" and one.path.endswith(f"/{what}")
        ]

    async def add(self, **fields: Any) -> httpx.Response:
        body = {
            "name": "jira",
            "kind": "jira",
            "base_url": self.listener.url,
            "token": "token-of-ours",
            "hook_secret": "hook secret",
            **fields,
        }
        return await self.web.post(API, headers=self.admin, json=body)

    async def open(self, headers: dict[str, str], key: str = "jira:ED-1") -> Any:
        return (await self.web.post(f"{API}/open", headers=headers, json={"key": key})).json()

    async def session(
        self, ticket: int | None, name: str = "s-aaaaaaaaaaaaaaaa", **fields: Any
    ) -> None:
        row = {
            "tenant": self.relay.tenant, "id": name, "device": "d-1", "guest": False,
            "ticket": ticket, "external_key": None, "operator": "ann", "state": "ended",
            "reason": "ended", "scopes": "view", "created_at": ENDED, "started_at": ENDED,
            "ended_at": ENDED, "expires_at": ENDED, "active_s": 700,
            "receipt_sha256": "ab" * 32, "note": f"cleaned it, code was {CODE}",
            **fields,
        }  # fmt: skip
        known = {column.name for column in sessions.c}
        required = {
            column.name: 0 if str(column.type) in ("INTEGER", "BOOLEAN") else ""
            for column in sessions.c
            if not column.nullable and column.name not in row
        }
        async with self.relay.db.write() as c:
            values = {name: value for name, value in row.items() if name in known}
            await c.execute(insert(sessions).values(**required, **values))
            if ticket is not None:
                await record_time(
                    c, self.relay, ticket=ticket, account="ann", session=name, started_at=ENDED,
                    ended_at=ENDED, active_s=700, note="",
                )  # fmt: skip

    async def send(self) -> int:
        await heed_now(self.relay)
        return await send_due(self.relay, SENDERS)


@pytest.fixture
async def desk(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Any:
    async with listening() as listener:
        yield Desk(relay, web, await sign_in("admin"), listener)


async def test_from_a_foreign_ticket_and_back(
    desk: Desk, relay: Relay, sign_in: SignIn, clock: ManualClock
) -> None:
    assert (await desk.add()).status_code == 201
    ann = await sign_in("technician", name="ann")
    ticket = await desk.open(ann)
    assert (ticket["title"], ticket["requester"]) == ("Slow [31m", "jira:Mia")
    assert ticket["external_key"] == "jira:ED-1"
    assert (await desk.open(ann))["number"] == ticket["number"], "the open one is joined"
    shown: Any = (await desk.web.get("/api/v1/tickets/jira:ED-1", headers=ann)).json()
    assert shown["number"] == ticket["number"]
    await desk.session(int(ticket["id"]))
    desk.status = 503
    assert await desk.send() >= 1
    desk.status = 201
    clock.advance(60)
    assert await desk.send() == 1
    comment = desk.posted("comment")[-1]["body"]
    assert "12 min" in comment, "begun minutes count"
    assert "ab" * 32 in comment
    assert "cleaned it" in comment
    assert CODE not in comment
    assert "H7M" not in comment
    link = desk.posted("remotelink")[-1]
    assert link["globalId"] == "system=http://127.0.0.1:8443&id=s-aaaaaaaaaaaaaaaa"
    async with relay.db.write() as c:
        await resolve(c, relay, ref=ticket["number"], note="new disk", actor="ann")
    assert await desk.send() == 1
    assert "new disk" in desk.posted("comment")[-1]["body"]
    assert await desk.send() == 0
    everything = "".join(str(one) for one in desk.listener.asked)
    assert "token-of-ours" not in (await desk.web.get(API, headers=desk.admin)).text
    assert CODE not in everything


async def test_a_comment_that_arrived_is_not_repeated(
    desk: Desk, relay: Relay, sign_in: SignIn
) -> None:
    """The relay was killed between the comment and its outcome."""
    await desk.add()
    ticket = await desk.open(await sign_in("technician", name="ann"))
    await desk.session(int(ticket["id"]))
    assert await desk.send() == 1
    assert len(desk.posted("comment")) == 1
    async with relay.db.write() as c:
        mine = (outbox.c.tenant == relay.tenant, outbox.c.kind == "connector")
        again = {"state": "waiting", "next_at": relay.stamp(), "ended_at": None}
        await c.execute(update(outbox).where(*mine).values(**again))
    assert await desk.send() == 1
    assert len(desk.posted("comment")) == 1
    assert {one["globalId"] for one in desk.posted("remotelink")} == {
        "system=http://127.0.0.1:8443&id=s-aaaaaaaaaaaaaaaa"
    }


async def test_a_comment_whose_answer_was_lost_is_not_repeated_by_retry(
    desk: Desk, relay: Relay, sign_in: SignIn
) -> None:
    """Its minutes would be billed twice."""
    await desk.add()
    ticket = await desk.open(await sign_in("technician", name="ann"))
    await desk.session(int(ticket["id"]))
    kept: list[Any] = []

    def lossy(asked: Asked) -> Told:
        if not asked.path.split("?")[0].endswith("/comment"):
            return desk.answer(asked)
        if asked.method == "POST":
            kept.append(asked.json)
            return told({}, 502)
        return told({"comments": kept})

    desk.listener.answer = lossy
    assert await desk.send() == 1
    async with relay.db.write() as c:
        (item,) = await list_items(c, relay.tenant, kind="connector")
        assert item.state == "waiting"
        await retry(c, relay, item=item.id, actor="ada")
    assert await desk.send() == 1
    assert len(kept) == 1
    async with relay.db.read() as c:
        assert await list_items(c, relay.tenant, kind="connector") == []


async def test_a_requester_opens_no_other_desk(desk: Desk, relay: Relay, sign_in: SignIn) -> None:
    await desk.add()
    mia = await sign_in("requester", name="mia")
    async with relay.db.write() as c:
        made = await create_ticket(
            c, relay, title="x", actor="mia", requester="mia", external_key="jira:ED-9"
        )
        await resolve(c, relay, ref=made.id, note="done", actor="ann")
    await desk.session(made.row)
    await desk.send()
    assert desk.posted("comment") == []
    assert (
        await desk.web.post(f"{API}/open", headers=mia, json={"key": "jira:1"})
    ).status_code == (403)


async def test_a_requesters_key_joins_nothing(desk: Desk, relay: Relay, sign_in: SignIn) -> None:
    """Neither the key that she writes now nor one that stood before it was refused."""
    await desk.add()
    mia, ann = await sign_in("requester", name="mia"), await sign_in("technician", name="ann")
    new = {"title": "mine", "external_key": "jira:ED-1"}
    made: Any = (await desk.web.post("/api/v1/tickets", headers=mia, json=new)).json()
    assert made["external_key"] is None
    async with relay.db.write() as c:
        older = await create_ticket(
            c, relay, title="x", actor="mia", requester="mia", external_key="jira:ED-1"
        )
    ours = await desk.open(ann)
    assert ours["number"] not in (made["number"], older.number)
    async with relay.db.write() as c:
        newer = await create_ticket(
            c, relay, title="x", actor="mia", requester="mia", external_key="jira:ED-1"
        )
        said = [ForeignEvent(key="ED-1", state="Waiting")]
        await note_events(c, relay, connector="jira", events=said)
    assert (await desk.open(ann))["number"] == ours["number"]
    for number, count in ((made["number"], 0), (older.number, 0), (newer.number, 0)):
        path = f"/api/v1/tickets/{number}/messages"
        assert len((await desk.web.get(path, headers=ann)).json()["items"]) == count
    shown = (await desk.web.get(f"/api/v1/tickets/{ours['number']}/messages", headers=ann)).json()
    assert shown["items"][-1]["body"] == "jira:ED-1 is Waiting"


@pytest.mark.parametrize("name", ["mia", "mia@example.org"])
async def test_a_foreign_name_is_nobodys_account_or_address(
    desk: Desk, sign_in: SignIn, name: str
) -> None:
    await desk.add()
    issue = {"summary": "Secret", "reporter": {"displayName": name}}
    desk.listener.answer = lambda asked: told({"key": "ED-1", "fields": issue})
    mia = await sign_in("requester", name=name)
    ticket = await desk.open(await sign_in("technician", name="ann"))
    assert (ticket["requester"], ticket["person"]) == (f"jira:{name}", None)
    seen = await desk.web.get(f"/api/v1/tickets/{ticket['number']}", headers=mia)
    assert seen.status_code == 404


async def test_a_session_for_a_foreign_key_alone(desk: Desk, relay: Relay) -> None:
    await desk.add()
    await desk.session(None, external_key="jira:ED-1")
    await desk.session(None, name="s-bbbbbbbbbbbbbbbb", external_key="nobody:1")
    await desk.session(None, name="s-cccccccccccccccc", external_key="jira:ED-2", started_at=None)
    for _ in range(2):
        await sweep_sessions(relay)
        await desk.send()
    assert len(desk.posted("comment")) == 1


@pytest.mark.parametrize(
    ("status", "state"), [(404, "dead"), (422, "dead"), (401, "waiting"), (500, "waiting")]
)
async def test_what_the_other_desk_refuses(
    desk: Desk, relay: Relay, sign_in: SignIn, status: int, state: str
) -> None:
    await desk.add()
    ticket = await desk.open(await sign_in("technician", name="ann"))
    await desk.session(int(ticket["id"]))
    desk.status = status
    await desk.send()
    async with relay.db.read() as c:
        (item,) = await list_items(c, relay.tenant, kind="connector")
    assert (item.state, item.last_error) == (state, f"the other desk answered {status}")


async def test_what_the_other_desk_says(desk: Desk, sign_in: SignIn) -> None:
    await desk.add()
    ann = await sign_in("technician", name="ann")
    number = (await desk.open(ann))["number"]
    body = b'{"issue": {"key": "ED-1", "fields": {"status": {"name": "Waiting\\u001b"}}}}'
    headers = {
        "X-Hub-Signature": "sha256=" + hex_hmac(b"hook secret", body),
        "X-Atlassian-Webhook-Identifier": "1",
    }
    for events in (1, 0):
        answer = await desk.web.post(f"{API}/jira/events", headers=headers, content=body)
        assert (answer.status_code, answer.json()["events"]) == (202, events)
    messages = (await desk.web.get(f"/api/v1/tickets/{number}/messages", headers=ann)).json()
    assert [one["body"] for one in messages["items"]][-1] == "jira:ED-1 is Waiting"
    for wrong, status in (({}, 403), ({"X-Hub-Signature": "sha256=" + "0" * 64}, 403)):
        answer = await desk.web.post(f"{API}/jira/events", headers=wrong, content=body)
        assert answer.status_code == status
    await desk.add(name="bare", hook_secret="")
    forged = {"X-Hub-Signature": "sha256=" + hex_hmac(b"", body)}
    answer = await desk.web.post(f"{API}/bare/events", headers=forged, content=body)
    assert answer.json()["code"] == "hook-refused", "no secret is not an empty one"


async def test_what_cannot_be_a_connector(desk: Desk, sign_in: SignIn) -> None:
    for wrong, code in (
        ({"token": ""}, "invalid"),
        ({"token": "a\nb"}, "invalid"),
        ({"options": {"colour": "red"}}, "invalid"),
        ({"kind": "github"}, "invalid"),
        ({"kind": "mail", "options": {"address": "a@b.c", "tag": "[x]"}}, "invalid"),
        ({"kind": "outlook"}, "invalid"),
        ({"name": "a.b"}, "invalid"),
        ({"base_url": "http://example.org"}, "url-insecure"),
    ):
        answer = await desk.add(**wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, code), (wrong, answer.text)
    assert (await desk.add()).status_code == 201
    assert (await desk.add()).json()["code"] == "connector-exists"
    answer = await desk.web.post(f"{API}/jira/test", headers=desk.admin, json={"key": "ED-1"})
    assert answer.json()["title"] == "Slow [31m"
    assert (await desk.open(desk.admin, "nothing"))["code"] == "invalid"
    assert (await desk.open(desk.admin, "nobody:1"))["code"] == "not-found"
    left = await desk.web.post(f"{API}/jira/remove", headers=desk.admin, json={})
    assert left.json()["items"] == []


@given(
    st.text("0123456789", min_size=4, max_size=6),
    st.text(ALPHABET, min_size=6, max_size=6),
    st.sampled_from(["{}-{} {}", "{}{}{}", "{} {} {}", "{}-{}-{}", "{}\u2013{}\u00a0{}"]),
    st.booleans(),
)
def test_no_code_in_a_summary(plate: str, secret: str, form: str, lower: bool) -> None:
    code = form.format(plate, secret[:3], secret[3:])
    text = f"She read {code.lower() if lower else code} to me."
    shown = without_codes(text)
    assert secret[3:].lower() not in shown.lower().replace("she read", "").replace("to me", "")
    assert "She read" in shown
