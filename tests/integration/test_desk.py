"""A ticket's whole way on the command line, from request to closed, by several people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import ConsoleHome, Stage


@pytest.fixture(scope="module")
def people() -> Iterator[dict[str, ConsoleHome]]:
    """An admin and a requester, signed in."""
    with Stage() as stage:
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin(library=False)
        mia = stage.console("mia")
        made = admin.json("account", "add", "mia", "--role", "requester")
        mia.login(made["signin_token"])
        yield {"admin": admin, "mia": mia}


def test_a_ticket_is_weighed_handed_on_merged_and_exported(
    people: dict[str, ConsoleHome], tmp_path: Path
) -> None:
    admin, mia = people["admin"], people["mia"]
    hours = ("--hours", "mon-sun=00:00-12:00,12:30-24:00", "--closed", "2030-12-25=Christmas")
    assert admin.json("calendar", "set", "most", "--zone", "Europe/Lisbon", *hours)["version"] == 1
    targets = ("--target", "normal=2h/4h/3d", "--target", "urgent=30m/-/8h")
    admin.json("sla", "set", "gold", "--calendar", "most", *targets)
    admin.json("queue", "set", "network", "--reopen-days", "3", "--sla", "gold")
    admin.json("queue", "set", "network", "--title", "Network")  # what is not given stays
    queues = admin.json("queue", "list")["items"]
    assert [(one["title"], one["policy"]) for one in queues] == [
        ("Desk", None),
        ("Network", "gold"),
    ]
    new = ("ticket", "new", "--title")
    first = mia.json(*new, "no net", "--body", "since noon", "--queue", "network")["number"]
    second = mia.json(*new, "no mail", "--kind", "request", "--impact", "high")["number"]
    raised = admin.json(
        "ticket", "set", first, "--priority", "urgent", "--priority-reason", "the whole floor"
    )
    assert raised["priority"] == "urgent"
    assert admin.json("ticket", "wait", first, "--for", "vendor")["state_reason"] == "vendor"
    up = admin.json("ticket", "escalate", first, "--reason", "switch", "--handover", "port 7 dead")
    assert (up["tier"], up["state"]) == (2, "open")
    links = admin.json("ticket", "link", first, second, "--kind", "parent")["items"]
    assert [(one["kind"], one["ticket"]) for one in links] == [("parent", second)]
    assert admin.json("ticket", "merge", second, first)["number"] == first
    assert admin.refused("ticket", "merge", second, first) == "ticket-state"
    listed = admin.json("ticket", "list", "--priority", "urgent")["items"]
    assert [one["number"] for one in listed] == [first]
    shown = admin.run("ticket", "show", first).stdout.decode()
    for words in (
        "first-response  due 20",
        "urgent",
        "the whole floor",
        "port 7 dead",
        f"parent {second} (merged)",
    ):
        assert words in shown
    target = tmp_path / "thread.html"
    admin.json("ticket", "export", first, "--format", "html", "-o", str(target))
    assert b"port 7 dead" in target.read_bytes()
    assert admin.refused("ticket", "export", first, "-o", str(target)) == "file-exists"
    assert admin.json("ticket", "merge", second, "--undo")["state"] == "new"
    assert admin.json("ticket", "resolve", first, "--note", "new switch")["state"] == "resolved"
    assert admin.json("ticket", "close", first)["state"] == "closed"
    assert mia.refused("ticket", "set", second, "--title", "x", expect=3) == "not-permitted"
    assert admin.refused("ticket", "wait", second, "--for", "rain", expect=2) == "usage"


def test_the_desk_works_with_what_it_keeps_ready(
    people: dict[str, ConsoleHome], tmp_path: Path
) -> None:
    admin, mia = people["admin"], people["mia"]
    form = tmp_path / "form.json"
    form.write_text('{"properties": {"since": {"type": "string", "format": "date"}}}')
    assert admin.json("form", "set", "suggestion", str(form))["kind"] == "suggestion"
    items = ("--item", "Unpack it", "--optional", "patch.apt.apply::Updates")
    admin.json("checklist", "set", "setup", "--kind", "suggestion", *items)
    new = ("ticket", "new", "--kind", "suggestion", "--title", "Ein Netzwerkdrucker")
    made = mia.json(*new, "--field", "since=2026-11-01", "--language", "de")["number"]
    found = admin.json("ticket", "search", "Drucker")["items"]
    assert [(one["number"], one["fields"]) for one in found] == [(made, {"since": "2026-11-01"})]
    body = "Hallo {requester.name}: {param.what}"
    admin.json("canned", "set", "hello", body, "--language", "de")
    seen = admin.json("ticket", "reply", made, ":hello", "--preview")
    assert seen["missing"] == ["param.what"]
    assert admin.refused("ticket", "reply", made, ":hello") == "canned-incomplete"
    said = admin.json("ticket", "reply", made, "--canned", "hello", "--param", "what=ja")
    assert said["body"] == "Hallo mia: ja"
    asked = admin.json("ticket", "instruct", made, "Plug it in", "Turn it up")
    answered = mia.json("ticket", "answer-step", made, str(asked["seq"]), "1")
    assert (answered["answer"], answered["answered_by"]) == ("done", "mia")
    assert admin.refused("ticket", "resolve", made) == "checklist-open"
    assert admin.json("ticket", "tick", made, "1", "--note", "done")["state"] == "done"
    assert admin.json("ticket", "resolve", made)["state"] == "resolved"
    columns = ("--columns", "number,title,fields", "--kind", "suggestion")
    admin.json("filter", "save", "ideas", *columns)
    listed = admin.run("ticket", "list", "--filter", "ideas").stdout.decode()
    assert "since" in listed
    target = tmp_path / "ideas.csv"
    admin.json("ticket", "list", "--filter", "ideas", "--export", str(target))
    row = f'{made},Ein Netzwerkdrucker,"{{""since"":""2026-11-01""}}"'
    assert target.read_text().splitlines() == ["number,title,fields", row]
    assert mia.refused("ticket", "device", made, expect=3) == "not-permitted"
    assert admin.refused("ticket", "device", made) == "ticket-no-device"


def test_people_are_known_told_and_erased(people: dict[str, ConsoleHome], tmp_path: Path) -> None:
    admin, mia = people["admin"], people["mia"]
    admin.json("organisation", "set", "acme", "--title", "Acme", "--retention", "730")
    assert admin.json("organisation", "show", "acme")["retention_days"] == 730
    person = admin.json(
        "person", "add", "Mia S.", "--organisation", "acme", "--mail", "mia@acme.example"
    )["id"]
    admin.json("person", "set", person, "--account", "mia", "--notes", "prefers mail")
    admin.json("person", "verify", person, "mia@acme.example", "--confirm", "called back")
    assert "verified" in admin.run("person", "show", "mia@acme.example").stdout.decode()
    number = mia.json("ticket", "new", "--title", "screen dead", "--body", "dark")["number"]
    assert "Acme" in admin.run("ticket", "person", number).stdout.decode()
    admin.json("ticket", "paper", number, "--kind", "invoice", "--number", "R 17")
    found = admin.json("ticket", "papers", "--number", "r-17")["items"]
    assert [one["ticket"] for one in found] == [number]
    admin.json("skill", "add", "admin", "screens", "--ends", "2099-01-01")
    proposed = admin.json("ticket", "assign", number, "--skill", "screens")["items"]
    assert [one["account"] for one in proposed] == ["admin"]
    maker = ("--kind", "vendor", "--organisation", "acme", "--mail", "rma@maker.example")
    admin.json("person", "add", "Maker", *maker)
    sent = admin.json("ticket", "vendor", number, "--to", "rma@maker.example", "--carrier", "DHL")
    assert (sent["vendor_name"], sent["carrier"]) == ("acme", "DHL")
    card = admin.json("card", "--phone", "+351 21 000")
    assert (card["phone"], card["hours"]["open"]) == ("+351 21 000", True)
    told = ("notice", "new", "--title", "2.0", "--body", "is here", "--organisation", "acme")
    admin.json(*told, "--publish")
    assert [one["title"] for one in mia.json("notice", "list")["items"]] == ["2.0"]
    export = tmp_path / "mia.json"
    assert admin.json("person", "export", person, "-o", str(export))["tickets"] >= 1
    assert "screen dead" in export.read_text()
    erase = ("person", "erase", person, "--reason", "asked", "--yes")
    assert admin.refused(*erase) == "person-has-tickets"
    assert admin.json(*erase, "--force")["counts"]["addresses"] == 1
    assert admin.json("ticket", "show", number)["title"] == "[erased]"
    assert mia.refused("ticket", "list") == "not-signed-in"
