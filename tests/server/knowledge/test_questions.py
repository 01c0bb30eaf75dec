"""Public questions: closed until opened, and nothing of a stranger is shown unseen."""

from __future__ import annotations

from typing import Any

import pytest

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.persons import join_person
from farhand_server.api.knowledge_public import MAX_WRITES_AN_HOUR, make_public_rates
from farhand_server.people.people import PersonTerms, create_person
from farhand_server.relay import Relay
from tests.server.knowledge.writers import Library
from tests.server.relays import SignIn

AT = "/knowledge/questions"
NEW = {"title": "Why is it slow?", "body": "Since <b>Monday</b>\u202e.", "name": "Eve"}


@pytest.fixture
async def is_open(ada: Library) -> None:
    await ada.done("/knowledge/settings", {"questions": True})


# What is plain code above the store is tried on one store.
@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_they_are_closed_until_an_admin_opens_them(anybody: Library, ann: Library) -> None:
    for answer in (
        await anybody.get(AT),
        await anybody.get(f"{AT}/1"),
        await anybody.post(AT, NEW),
        await anybody.post(f"{AT}/1/answers", {"body": "x"}),
        await ann.post(AT, NEW),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "questions-off")


@pytest.mark.usefixtures("is_open")
async def test_a_question_and_its_answers(ann: Library, mia: Library, anybody: Library) -> None:
    assert await mia.done(AT, NEW | {"name": "M."}) == {"number": 1, "waiting": True}
    assert (await anybody.read(AT))["items"] == []
    assert (await anybody.get(f"{AT}/1")).status_code == 404
    assert await anybody.refused(f"{AT}/1/answers", {"body": "x"}) == "not-found"
    waiting = await ann.read("/knowledge/moderation")
    assert [(one["number"], one["name"]) for one in waiting["questions"]] == [(1, "M.")]
    moderate = "/knowledge/moderation"
    assert await mia.refused(f"{moderate}/questions/1", {"decision": "show"}) == "not-permitted"
    await ann.done(f"{moderate}/questions/1", {"decision": "show"})
    for number, (writer, body) in enumerate(
        ((anybody, {"body": "Buy my pills", "name": "ann"}), (ann, {"body": "Restart it."})), 1
    ):
        made = await writer.done(f"{AT}/1/answers", body)
        assert made == {"number": number, "waiting": writer is anybody}
    shown = await anybody.read(f"{AT}/1")
    assert [(one["name"], one["staff"]) for one in shown["said"]] == [("ann", True)]
    assert shown["body"] == NEW["body"]  # strangers' text; whoever shows it escapes it
    left = await ann.done(f"{moderate}/answers/1", {"decision": "show"})
    assert left == {"questions": [], "answers": []}
    names = [(one["name"], one["staff"]) for one in (await anybody.read(f"{AT}/1"))["said"]]
    assert names == [("ann", False), ("ann", True)]
    # Who asked says which answer it was.
    accepted = await mia.done(f"{AT}/1/accept", {"answer": 2})
    assert (accepted["state"], accepted["said"][0]["number"]) == ("answered", 2)
    await ann.done(f"{moderate}/answers/1", {"decision": "refuse"})
    assert [one["number"] for one in (await anybody.read(f"{AT}/1"))["said"]] == [2]
    assert await mia.refused(f"{AT}/1/accept", {"answer": 1}) == "not-found"
    await ann.done(f"{moderate}/answers/2", {"decision": "refuse"})
    assert (await anybody.read(f"{AT}/1"))["state"] == "open"
    await ann.done(f"{moderate}/questions/1", {"decision": "refuse"})
    assert (await anybody.get(f"{AT}/1")).status_code == 404
    assert (await ann.read(f"{moderate}/questions/1"))["state"] == "refused"
    assert await ann.refused(f"{moderate}/questions/9", {"decision": "show"}) == "not-found"
    assert await ann.refused(f"{moderate}/answers/9", {"decision": "show"}) == "not-found"


@pytest.mark.usefixtures("is_open")
async def test_somebody_elses_question_is_not_hers_to_close(
    ann: Library, mia: Library, anybody: Library
) -> None:
    assert (await ann.done(AT, NEW))["waiting"] is False
    await ann.done(f"{AT}/1/answers", {"body": "Because."})
    assert await mia.refused(f"{AT}/1/accept", {"answer": 1}) == "not-permitted"
    assert await anybody.refused(f"{AT}/1/accept", {"answer": 1}) == "not-signed-in"
    assert (await ann.done(f"{AT}/1/accept", {"answer": 1}))["state"] == "answered"
    listed = (await anybody.read(AT, q="slow"))["items"]
    assert [(one["number"], one["answers"], one["state"]) for one in listed] == [(1, 1, "answered")]
    assert (await anybody.read(AT, q="fast %"))["items"] == []


@pytest.mark.usefixtures("is_open")
async def test_strangers_write_little(
    anybody: Library, ann: Library, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (
        NEW | {"title": ""},
        NEW | {"title": "two\nlines"},
        NEW | {"body": "x" * 4001},
        NEW | {"body": "\x1b[2J"},
        NEW | {"name": "n" * 61},
        NEW | {"language": "../x"},
    ):
        assert await anybody.refused(AT, wrong) == "invalid", wrong
    monkeypatch.setattr("farhand_server.knowledge.questions.MAX_PENDING", 1)
    await anybody.done(AT, NEW)
    assert await anybody.refused(AT, NEW) == "questions-full"
    rates = relay.service(make_public_rates)
    rates.writes.forgive("192.0.2.1")
    for _ in range(MAX_WRITES_AN_HOUR):
        rates.writes.take("192.0.2.1")
    assert await anybody.refused(AT, NEW) == "rate-limited"
    await ann.done("/knowledge/moderation/questions/1", {"decision": "show"})
    assert (await ann.done(AT, NEW))["number"] == 2  # the desk is not counted


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("role", "called", "name", "shown"),
    [
        ("requester", "Mia Santos", "", "Mia Santos"),
        ("requester", "Mia Santos", "M.", "M."),
        ("requester", "Mia Santos", "mia@home.example", "Mia Santos"),
        ("requester", "mia@home.example", " ", "guest"),
        ("requester", None, "", "guest"),
        ("technician", "Mia of the desk", "x", "Mia of the desk"),
        ("technician", None, "", "Example Ltd"),
        (None, None, "mia@home.example", "guest"),
    ],
)
@pytest.mark.usefixtures("is_open")
async def test_no_mail_address_is_shown_to_the_world(
    relay: Relay,
    ann: Library,
    anybody: Library,
    sign_in: SignIn,
    role: Any,
    called: str | None,
    name: str,
    shown: str,
) -> None:
    address = "mia@home.example"
    writer = Library(anybody.web, await sign_in(role, name=address)) if role else anybody
    if called:
        async with relay.db.write() as c:
            account = await relay.service(make_directory).find(c, address)
            assert account is not None
            terms = PersonTerms(name=called)
            person = (await create_person(c, relay, terms=terms, actor="test")).id
            await join_person(
                c, relay, account=account.id, name=address, person=person, actor="test"
            )
    await writer.done(AT, NEW | {"name": name})
    await ann.done("/knowledge/moderation/questions/1", {"decision": "show"})
    await writer.done(f"{AT}/1/answers", {"body": "x", "name": name})
    await ann.done("/knowledge/moderation/answers/1", {"decision": "show"})
    answer = await anybody.get(f"{AT}/1")
    assert (answer.json()["name"], answer.json()["said"][0]["name"]) == (shown, shown)
    assert address not in answer.text
