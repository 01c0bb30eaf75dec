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
