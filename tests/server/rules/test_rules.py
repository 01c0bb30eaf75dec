"""Rules: asked in order, each action of its own, bounded, logged, never fired by a rule."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from farhand_server.desk.canned import set_canned
from farhand_server.desk.moves import add_message
from farhand_server.desk.tickets import Intake, create_ticket
from farhand_server.heeders import heed_now
from farhand_server.outbox.items import list_items
from farhand_server.relay import Relay
from farhand_server.rules.firing import MAX_AN_HOUR
from farhand_server.store.schema import orders
from tests.server.relays import ManualClock, SignIn

pytestmark = pytest.mark.either_store

API = "/api/v1/rules"


class Automation:
    """An admin who writes rules, and looks at tickets."""

    def __init__(self, relay: Relay, web: httpx.AsyncClient, admin: dict[str, str]) -> None:
        self.relay, self.web, self.admin = relay, web, admin

    async def rule(self, name: str, *then: str, when: str = "ticket.created", **more: Any) -> Any:
        actions = []
        for text in then:
            do, _, value = text.partition(" ")
            field = ""
            if do == "set":
                field, _, value = value.partition("=")
            actions.append({"do": do, "field": field, "value": value})
        conditions = [
            dict(zip(("field", "operator", "value"), one.split(" ", 2), strict=False))
            for one in more.pop("given", [])
        ]
        body = {"name": name, "event": when, "actions": actions, "conditions": conditions, **more}
        return (await self.web.post(API, headers=self.admin, json=body)).json()

    async def ticket(self, title: str = "Slow", **fields: Any) -> str:
        async with self.relay.db.write() as c:
            made = await create_ticket(
                c, self.relay, title=title, actor="mia", requester="mia", body="help", **fields
            )
        await heed_now(self.relay)
        return made.number

    async def said(self, number: str, body: str, actor: str = "mia") -> None:
        async with self.relay.db.write() as c:
            await add_message(c, self.relay, ref=number, kind="note", body=body, actor=actor)
        await heed_now(self.relay)

    async def show(self, number: str) -> Any:
        return (await self.web.get(f"/api/v1/tickets/{number}", headers=self.admin)).json()

    async def words(self, number: str) -> list[tuple[str, str, str]]:
        shown = await self.show(number)
        return [(one["author"], one["kind"], one["body"]) for one in shown["messages"]]

    async def log(self, **query: str) -> list[Any]:
        answer = await self.web.get(f"{API}/firings", headers=self.admin, params=query)
        items: list[Any] = answer.json()["items"]
        return items


@pytest.fixture
async def automation(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Automation:
    await sign_in("technician", name="ann")
    return Automation(relay, web, await sign_in("admin"))


async def test_one_sentence_does_each_of_its_actions(automation: Automation, relay: Relay) -> None:
    queue = {"title": "Printers"}
    await automation.web.post("/api/v1/queues/printers", headers=automation.admin, json=queue)
    async with relay.db.write() as c:
        await set_canned(
            c, relay, key="hello", language="en", title="Hello", body="{ticket.number} is here.",
            actor="ada",
        )  # fmt: skip
    hook = {"name": "chat", "url": "https://example.org/x", "events": ["bug.fixed"]}
    await automation.web.post("/api/v1/webhooks", headers=automation.admin, json=hook)
    made = await automation.rule(
        "printers", "set queue=printers", "set priority=urgent", "assign ann", "note Look at it.",
        "reply hello", "webhook chat", "propose check.disk.space", given=["title contains printer"],
    )  # fmt: skip
    assert made["place"] == 1, made
    other, number = await automation.ticket(), await automation.ticket("My Printer")
    shown = await automation.show(number)
    assert (shown["queue"], shown["priority"], shown["owner"]) == ("printers", "urgent", "ann")
    words = await automation.words(number)
    assert [(author, kind) for author, kind, _ in words[1:]] == [
        ("rule:printers", "note"),
        ("rule:printers", "reply"),
        ("rule:printers", "note"),
    ]
    assert words[2][2] == f"{number} is here."
    assert "check.disk.space" in words[3][2]
    assert "Nobody has run it" in words[3][2]
    async with relay.db.read() as c:
        assert await c.scalar(select(func.count()).select_from(orders)) == 0
        (item,) = await list_items(c, relay.tenant, kind="webhook")
    assert item.key.startswith("chat rule printers")
    assert len(await automation.words(other)) == 1
    (firing,) = await automation.log()
    assert (firing["ticket"], {one["result"] for one in firing["outcome"]}) == (number, {"done"})


async def test_what_a_rule_did_fires_none(automation: Automation) -> None:
    """Two rules that would answer each other for ever."""
    await automation.rule("one", "note first", when="ticket.note")
    await automation.rule("two", "note second", when="ticket.note")
    number = await automation.ticket()
    await automation.said(number, "a person's")
    assert [body for _, _, body in await automation.words(number)] == [
        "help",
        "a person's",
        "first",
        "second",
    ]
    assert len(await automation.log(rule="one")) == 1


async def test_two_programs_that_answer_each_other_end(
    automation: Automation, clock: ManualClock
) -> None:
    await automation.rule("echo", "note yes?", when="ticket.note")
    number = await automation.ticket()
    for turn in range(MAX_AN_HOUR + 3):
        await automation.said(number, f"no {turn}", actor="robot")
    said = [body for author, _, body in await automation.words(number) if author == "rule:echo"]
    assert len(said) == MAX_AN_HOUR
    log = await automation.log(rule="echo", ticket=number)
    assert log[0]["outcome"] == [{"action": "none", "result": "rule-too-often"}]
    clock.advance(3601)
    await automation.said(number, "later", actor="robot")
    assert (await automation.log(rule="echo"))[0]["outcome"][0]["result"] == "done"


async def test_in_order_each_sees_what_was_done_before_and_one_may_stop(
    automation: Automation,
) -> None:
    await automation.rule("c", "note c")
    await automation.rule("b", "note b", given=["owner is ann"], stop=True)
    await automation.rule("a", "assign ann")
    moved = await automation.web.post(f"{API}/a/move", headers=automation.admin, json={"place": 1})
    assert [one["name"] for one in moved.json()["items"]] == ["a", "c", "b"]
    await automation.web.post(f"{API}/b/move", headers=automation.admin, json={"place": 2})
    first = await automation.ticket()
    assert [body for _, _, body in await automation.words(first)] == ["help", "b"]
    await automation.web.post(f"{API}/b/enabled", headers=automation.admin, json={"enabled": False})
    second = await automation.ticket()
    assert [body for _, _, body in await automation.words(second)] == ["help", "c"]
    left = await automation.web.post(f"{API}/a/remove", headers=automation.admin, json={})
    assert [(one["name"], one["place"]) for one in left.json()["items"]] == [("b", 1), ("c", 2)]


async def test_an_action_that_cannot_be_done_leaves_the_others(
    automation: Automation, relay: Relay
) -> None:
    hook = {"name": "chat", "url": "https://example.org/x", "events": ["bug.fixed"]}
    await automation.web.post("/api/v1/webhooks", headers=automation.admin, json=hook)
    await automation.rule("r", "reply gone", "webhook chat", "assign ann", "note still")
    number = await automation.ticket(
        intake=Intake(kind="complaint", complained_about="ann", security=True)
    )
    (firing,) = await automation.log()
    assert [one["result"] for one in firing["outcome"]] == [
        "not-found",
        "ticket-guarded",
        "owner-complained-about",
        "done",
    ]
    assert [body for _, _, body in await automation.words(number)] == ["help", "still"]
    async with relay.db.read() as c:
        assert await list_items(c, relay.tenant, kind="webhook") == []


async def test_a_dry_run_does_nothing(automation: Automation) -> None:
    numbers = [await automation.ticket(title) for title in ("Printer", "Screen", "PRINTER two")]
    rule = {
        "name": "r",
        "event": "ticket.created",
        "conditions": [
            {"field": "title", "operator": "contains", "value": "printer"},
            {"field": "text", "operator": "is", "value": "help"},
        ],
        "actions": [{"do": "note", "value": "x"}],
    }
    answer = await automation.web.post(
        f"{API}/test", headers=automation.admin, json={"rule": rule, "last": 10}
    )
    found = {one["ticket"]: (one["fires"], one["unmet"]) for one in answer.json()["items"]}
    assert found == {
        numbers[0]: (True, ""),
        numbers[1]: (False, "title contains printer"),
        numbers[2]: (True, ""),
    }
    assert (await automation.web.get(API, headers=automation.admin)).json()["items"] == []
    assert len(await automation.words(numbers[0])) == 1
    rule["event"] = "ticket.resolved"
    await automation.web.post(API, headers=automation.admin, json=rule)
    answer = await automation.web.post(
        f"{API}/test", headers=automation.admin, json={"name": "r", "last": 1}
    )
    assert answer.json()["items"][0]["unmet"] == "no ticket.resolved"


async def test_what_cannot_be_a_rule(automation: Automation, sign_in: SignIn) -> None:
    for then, more, code in (
        (("note x",), {"when": "ticket.exploded"}, "event-unknown"),
        (("note x",), {"when": "*"}, "event-unknown"),
        ((), {}, "rule-malformed"),
        (("note x",) * 11, {}, "rule-malformed"),
        (("set owner=ann",), {}, "rule-malformed"),
        (("set priority=huge",), {}, "rule-malformed"),
        (("set queue=nowhere",), {}, "not-found"),
        (("assign nobody",), {}, "not-found"),
        (("webhook nobody",), {}, "not-found"),
        (("propose ../../x",), {}, "rule-malformed"),
        (("explode x",), {}, "invalid"),
        (("note x",), {"given": ["title matches .*"]}, "invalid"),
        (("note x",), {"given": ["password is x"]}, "invalid"),
    ):
        answer = await automation.rule("r", *then, **more)
        assert answer.get("code") == code, (then, answer)
    tech = await sign_in("technician", name="ann")
    good = {"name": "r", "event": "ticket.note", "actions": [{"do": "note", "value": "x"}]}
    assert (await automation.web.post(API, headers=tech, json=good)).status_code == 403
