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
