"""Searching tickets: questions in five languages with what they must find, on both databases.

Each question says which tickets answer it; so it holds that SQLite and PostgreSQL answer alike.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from farhand_server.desk.search_index import reindex
from farhand_server.relay import Relay
from tests.server.desk.people import Desk
from tests.server.relays import SignIn

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
_QUESTIONS = (
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
