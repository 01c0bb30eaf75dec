"""Searching tickets: questions in five languages with what they must find, on both databases.

Each question says which tickets answer it; so it holds that SQLite and PostgreSQL answer alike.
"""

from __future__ import annotations

from typing import Any

import pytest

from farhand_server.desk import search_candidates
from farhand_server.desk.search_index import reindex
from farhand_server.relay import Relay
from tests.server.desk.people import Desk

# Number, language, title, first message.
_TICKETS = (
    (1, "en", "Printers are not printing", "The print queue is stuck since Monday"),
    (2, "en", "Laptop crashed", "It crashes when I connect to the Wi-Fi network"),
    (3, "pt", "As impressoras não imprimem", "A ligação à rede caiu outra vez"),
    (4, "pt-BR", "Computadores lentos", "O computador está muito lento depois da atualização"),
    (5, "de", "Netzwerkdrucker offline", "Seit gestern stürzt die Warteschlange ständig ab"),
    (6, "de", "Bildschirme flackern", "Der Bildschirm am Empfang flackert, Größe 27 Zoll"),
    (7, "ro", "Calculatoarele sunt blocate", "Imprimanta din ședință nu tipărește"),
    (8, "ru", "Принтеры не печатают", "Сеть пропала, компьютера не видно"),
    (9, "", "Replace SN-4711/AB2", "serial PF2XK90Q on the box of mia@example.com"),
)

# What is asked, and the numbers of the tickets that are found, the best first.
_QUESTIONS: tuple[tuple[str, list[int]], ...] = (
    ("printer", [1]),
    ("printing queue", [1]),
    ("crash", [2]),
    ("wifi", [2]),
    ("Wi-Fi", [2]),
    ("connecting networks", [2]),
    ("impressora", [3]),
    ("ligacao", [3]),
    ("nao imprimem", [3]),
    ("computador lento", [4]),
    ("Drucker", [5]),
    ("netzwerk", [5]),
    ("schlange", [5]),
    ("Groesse", [6]),
    ("grosse bildschirm", [6]),
    ("flackernder", []),
    ("calculator", [7]),
    ("imprimante", [3, 7]),  # `imprimem` has the same stem, in another language
    ("şedinţă", [7]),
    ("принтер", [8]),
    ("компьютер сеть", [8]),
    ("4711", [9]),
    ("sn4711", [9]),
    ("SN-4711", [9]),
    ("XK90", [9]),
    ("pf2xk*", [9]),
    ("FH-6", [6]),
    ("example.com", [9]),
    ("mia example", [9]),
    ("bildsch*", [6]),
    ("printer bildschirm", []),
)


async def _found(who: Desk, q: str, **more: Any) -> list[int]:
    answer = await who.web.get(
        "/api/v1/ticket-search", headers=who.headers, params={"q": q, **more}
    )
    assert answer.status_code == 200, answer.text
    return [int(one["id"]) for one in answer.json()["items"]]


async def _make_all(who: Desk) -> None:
    for _, language, title, body in _TICKETS:
        await who.new(title, body=body, language=language)


async def test_questions_in_five_languages_find_what_they_should(ann: Desk, relay: Relay) -> None:
    await _make_all(ann)
    answers = {q: await _found(ann, q) for q, _ in _QUESTIONS}
    assert answers == dict(_QUESTIONS)
    assert await reindex(relay) == len(_TICKETS)
    assert {q: await _found(ann, q) for q, _ in _QUESTIONS} == dict(_QUESTIONS)


async def test_notes_are_found_by_the_desk_alone_and_sight_holds(ann: Desk, mia: Desk) -> None:
    await mia.new("slow laptop", body="since the update")
    await ann.new("other laptop", body="not hers")
    await ann.new("intrusion on a laptop", security=True)
    note = {"body": "suspect the flaky docking station", "kind": "note"}
    assert (await ann.post("/1/messages", note)).status_code == 201
    assert await _found(ann, "docking") == [1]
    assert await _found(mia, "docking") == []
    assert await _found(ann, "laptop") == [3, 2, 1]
    assert await _found(mia, "laptop") == [1]
    assert await _found(mia, "laptops updates") == [1]
    # What was changed is found by its new words, and no more by its old ones.
    assert (await ann.change("1", title="slow notebook")).status_code == 200
    assert await _found(ann, "laptop slow") == []
    assert await _found(ann, "notebook slow") == [1]
    # Own words first, then what was said, each the newest first; pages join without a gap.
    for number in range(4):
        await ann.new(f"case {number}", body="the notebook again")
    everything = await _found(ann, "notebook")
    assert everything == [1, 7, 6, 5, 4]
    assert await _paged(ann, "notebook", limit=2) == everything
    assert await _found(ann, "notebook", state="new") == [1, 7, 6, 5, 4]
    assert await _found(ann, "notebook", owner="ann") == []
    # Merged tickets are still found by their words, spam is not.
    await ann.step("7", "merge", into="6")
    await ann.step("5", "spam", reason="no")
    assert await _found(ann, "notebook") == [1, 7, 6, 4]
    nothing = await ann.web.get("/api/v1/ticket-search", headers=ann.headers, params={"q": "-!"})
    assert nothing.json()["code"] == "invalid"


@pytest.mark.parametrize("relay_parts", ["postgresql"], indirect=True)
async def test_pages_of_a_large_desk_join_without_a_gap(
    ann: Desk, mia: Desk, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are walked, the others come out of the index piece by piece: none is missed."""
    monkeypatch.setattr(search_candidates, "_WALKED", 3)
    monkeypatch.setattr(search_candidates, "_NAMED", 4)
    monkeypatch.setattr(search_candidates, "_FIRST_PIECE", 1)
    titles = {n: ("printer" if n % 3 == 0 else "other") for n in range(1, 16)}
    for n, title in titles.items():
        body = "the printer is meant" if n % 2 == 0 else "nothing"
        await (mia if n % 5 == 0 else ann).new(title, body=body)
    own = [n for n in sorted(titles, reverse=True) if n % 3 == 0]
    said = [n for n in sorted(titles, reverse=True) if n % 2 == 0 and n % 3]
    for limit in (2, 50):
        assert await _paged(ann, "printer", limit=limit) == own + said
        assert await _paged(ann, "printer nothing", limit=limit) == [n for n in own if n % 2]
        hers = [n for n in own + said if n % 5 == 0]
        assert await _paged(mia, "printers", limit=limit) == hers
    assert await _paged(ann, "nowhere", limit=2) == []


async def _paged(who: Desk, q: str, **wanted: Any) -> list[int]:
    found: list[int] = []
    params = {"q": q, **wanted}
    while True:
        answer = await who.web.get("/api/v1/ticket-search", headers=who.headers, params=params)
        found += [int(one["id"]) for one in answer.json()["items"]]
        if (cursor := answer.json()["next"]) is None:
            return found
        params["cursor"] = cursor


async def test_lists_have_an_order_a_name_and_a_file(ann: Desk, mia: Desk) -> None:
    async def ids(who: Desk, **params: Any) -> list[int]:
        found: list[int] = []
        while True:
            got = await who.web.get("/api/v1/ticket-list", headers=who.headers, params=params)
            assert got.status_code == 200, got.text
            found += [int(one["id"]) for one in got.json()["items"]]
            if got.json()["next"] is None:
                return found
            params["cursor"] = got.json()["next"]

    for title, impact in (("a", "low"), ("=1+1", "high"), ("c", "medium"), ("d", "high")):
        await ann.new(title, impact=impact, requester="mia")
    await ann.step("1", "assign", owner="ann")
    for sort, order in (
        ("newest", [4, 3, 2, 1]),
        ("oldest", [1, 2, 3, 4]),
        ("priority", [2, 4, 3, 1]),
        ("due", [1, 2, 3, 4]),
    ):
        for limit in (1, 2, 50):
            assert await ids(ann, sort=sort, limit=limit) == order, sort
    listing = {"wanted": {"owner": "none"}, "sort": "oldest", "columns": ["number", "title"]}
    kept = await ann.web.post(
        "/api/v1/ticket-filters/nobodys",
        headers=ann.headers,
        json={"listing": listing, "shared": True},
    )
    assert kept.status_code == 200, kept.text
    assert await ids(ann, filter="nobodys") == [2, 3, 4]
    for path, form in (("csv", "csv"), ("json", "json")):
        got = await ann.web.get(
            "/api/v1/ticket-list/export",
            headers=ann.headers,
            params={"filter": "nobodys", "format": form},
        )
        lines = got.text.splitlines()
        if path == "csv":
            assert lines == ["number,title", "FH-2,'=1+1", "FH-3,c", "FH-4,d"]
        else:
            assert lines[0] == '{"number":"FH-2","title":"=1+1"}'
    refused = await mia.web.get("/api/v1/ticket-list/export", headers=mia.headers)
    assert refused.status_code == 403
    wrong = {"listing": {**listing, "columns": ["secrets"]}}
    answer = await ann.web.post("/api/v1/ticket-filters/x", headers=ann.headers, json=wrong)
    assert answer.json()["code"] == "invalid"
    gone = await ann.web.post("/api/v1/ticket-filters/nobodys/drop", headers=ann.headers)
    assert gone.json()["items"] == []
    missing = await ann.web.get(
        "/api/v1/ticket-list", headers=ann.headers, params={"filter": "nobodys"}
    )
    assert missing.json()["code"] == "not-found"
