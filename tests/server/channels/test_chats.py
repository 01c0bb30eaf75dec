"""A chat is a ticket from its first line, and turns into mail when nobody is there."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from farhand_server.channels.chats import sweep_chats
from farhand_server.channels.words import nobody_there
from farhand_server.heeders import heed_now
from farhand_server.people.organisations import LOCALES
from farhand_server.relay import Relay
from farhand_server.store.schema.outbox import outbox
from tests.server.channels.conftest import Caller
from tests.server.relays import ManualClock


async def _begin(mia: Caller, text: str = "the sound is gone") -> str:
    answer = await mia.post("/chats", {"text": text, "language": "pt"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


async def _mails(relay: Relay) -> int:
    async with relay.db.read() as c:
        return len(list(await c.scalars(select(outbox.c.id).where(outbox.c.kind == "mail"))))


async def test_both_are_there(ann: Caller, mia: Caller, relay: Relay) -> None:
    assert (await ann.get("/chats/watch", wait=0)).json()["items"] == []
    number = await _begin(mia)
    (waiting,) = (await ann.get("/chats/watch", wait=0)).json()["items"]
    assert waiting["ticket"] == number
    shown = (await mia.get(f"/chats/{number}")).json()
    assert (shown["somebody"], shown["open"], shown["state"]) == (True, True, "live")
    (first,) = (await mia.get(f"/chats/{number}/messages", after=0)).json()["items"]
    assert (first["kind"], first["channel"], first["body"]) == ("chat", "chat", "the sound is gone")
    # She waits, and hears the answer when it is said.
    hears = asyncio.create_task(mia.get(f"/chats/{number}/messages", after=first["seq"], wait=20))
    await asyncio.sleep(0)
    said = await ann.post(f"/chats/{number}/messages", {"text": "is it plugged in?"})
    assert said.status_code == 201, said.text
    (answer,) = (await hears).json()["items"]
    assert (answer["author"], answer["body"]) == ("ann", "is it plugged in?")
    before = await _mails(relay)
    await heed_now(relay)
    assert await _mails(relay) == before  # she read it here
    assert (await ann.get("/chats/watch", wait=0)).json()["items"] == []
    assert await sweep_chats(relay) == []


async def test_nobody_answers_and_she_leaves(
    ann: Caller, mia: Caller, relay: Relay, clock: ManualClock
) -> None:
    number = await _begin(mia)
    await heed_now(relay)
    clock.advance(61)
    assert await sweep_chats(relay) == [int(number[3:])]
    assert await sweep_chats(relay) == []  # told once
    said = (await mia.get(f"/chats/{number}/messages", after=0)).json()["items"]
    assert said[-1]["body"] == nobody_there("pt", "mia@example.org")
    clock.advance(61)
    await sweep_chats(relay)
    before = await _mails(relay)
    await ann.post(f"/chats/{number}/messages", {"text": "we found it"})
    await heed_now(relay)
    assert await _mails(relay) == before + 1
    # She comes back, and it is a chat again.
    await mia.get(f"/chats/{number}/messages", after=0)
    assert (await mia.get(f"/chats/{number}")).json()["state"] == "live"
    await ann.post(f"/chats/{number}/messages", {"text": "welcome back"})
    await heed_now(relay)
    assert await _mails(relay) == before + 1


async def test_whose_chat_it_is_not(ann: Caller, mia: Caller, web: object, sign_in: object) -> None:
    number = await _begin(mia)
    other = Caller(mia.web, await sign_in("requester", name="eve"))  # type: ignore[operator]
    for path in (f"/chats/{number}", f"/chats/{number}/messages"):
        assert (await other.get(path)).status_code == 404
    assert (await other.post(f"/chats/{number}/messages", {"text": "hi"})).status_code == 404
    assert (await other.get("/chats")).status_code == 403
    assert (await mia.post("/chats", {"text": " "})).status_code == 422
    plain = (await ann.post("/tickets", {"title": "no chat"})).json()["number"]
    assert (await ann.get(f"/chats/{plain}")).status_code == 404


@pytest.mark.parametrize("language", LOCALES)
def test_every_language_has_its_words(language: str) -> None:
    assert "a@b.example" in nobody_there(language, "a@b.example")
    assert nobody_there(language, None) != nobody_there(language, "a@b.example")
    assert language == "en" or nobody_there(language, None) != nobody_there("en", None)
