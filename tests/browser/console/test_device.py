"""The device's page in the browser: one works where one looks at it; a device that is asleep."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.console.conftest import Desk, OpenPage, go
from tests.support.browser import PHONE, axe_faults, layout_faults

pytestmark = pytest.mark.timeout(400)
_SLOW = 150_000


def signed(page: Page, *facts: str) -> None:
    """Read what is about to be signed, then sign."""
    dialog = page.get_by_role("dialog", name="Sign with your key?")
    for fact in facts:
        expect(dialog).to_contain_text(fact)
    dialog.get_by_role("button", name="Sign", exact=True).click()


def box(within: Locator, scope: str) -> Locator:
    """Return the tick of a scope."""
    return within.get_by_role("checkbox", name=re.compile(f"^{scope}:"))


@pytest.fixture(scope="module")
def narrow(desk: Desk) -> Desk:
    """The desk, with a policy that offers some scopes and one destination."""
    desk.admin.json(
        *("trust", "policy", "office", "--unattended", "--consent", "notify", "--cool-down-s", "0"),
        *("--scope", "view,terminal,files,forward", "--forward-to", "127.0.0.1:9"),
    )
    return desk


def end_all(desk: Desk) -> None:
    """End whatever is open, so that the next one begins with nothing."""
    for one in desk.technician.json("session", "list", "--state", "active")["items"]:
        desk.technician.json("session", "end", one["session"], "--note", "over", "--no-diff")


def test_one_works_on_the_page_of_the_device(narrow: Desk, open_page: OpenPage) -> None:
    end_all(narrow)
    page = open_page(f"/devices/{narrow.agent.device}?tab=terminal").page
    main = page.locator("main#main")
    expect(main.get_by_text("You have no session open on this device")).to_be_visible()
    main.get_by_role("tabpanel").get_by_role("button", name="Connect…").click()
    connect = page.get_by_role("dialog", name="Connect to reception")
    # What the tab needs is ticked; what policy does not offer cannot be, and it says why.
    expect(box(connect, "terminal")).to_be_checked()
    expect(box(connect, "files")).not_to_be_checked()
    for scope in ("screen", "control", "clipboard", "desktop"):
        expect(box(connect, scope)).to_be_disabled()
    expect(connect.get_by_text("the policy of group office does not allow it")).to_have_count(4)
    box(connect, "forward").check()
    expect(connect.get_by_role("button", name="Connect", exact=True)).to_be_disabled()
    connect.get_by_role("checkbox", name="127.0.0.1:9").check()
    assert axe_faults(page) == []
    connect.get_by_role("button", name="Connect", exact=True).click()
    signed(page, "view, terminal, forward", "type commands there", "127.0.0.1:9", "walk-in")

    # It goes on where it was asked for, and while another tab is looked at.
    page.locator("[data-phase=open]").wait_for(timeout=_SLOW)
    assert re.search(r"/devices/d-\w+\?.*tab=terminal", page.url)
    page.keyboard.type("echo 4$((1))2")
    page.keyboard.press("Enter")
    shown = page.locator(".xterm-rows").first
    expect(shown).to_contain_text("412", timeout=_SLOW)
    page.get_by_role("tab", name="Overview").click()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    page.get_by_role("tab", name="Terminal").click()
    expect(shown).to_contain_text("412")
    assert layout_faults(page) == []

    # What the session does not hold is asked for from here, with all of it in the question.
    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_text("The open session has no scope files")).to_be_visible()
    page.get_by_role("tabpanel").get_by_role("button", name="Ask for more…").last.click()
    more = page.get_by_role("dialog", name="Ask for more")
    expect(box(more, "files")).to_be_checked()
    expect(box(more, "view")).to_have_count(0)
    more.get_by_label("Why").fill("a log to send")
    more.get_by_role("button", name="Ask", exact=True).click()
    signed(page, "Scopes", "files", "read and write files there", "a log to send", "nothing")
    expect(page.get_by_role("button", name="Send files…")).to_be_enabled(timeout=_SLOW)
    page.get_by_role("tab", name="Tools").click()
    expect(page.get_by_role("table", name="processes")).to_contain_text("python")
    page.get_by_role("tab", name="Screen").click()
    expect(page.get_by_text("The open session has no scope screen")).to_be_visible()

    # Of several sessions one is chosen; each has its own terminals.
    device = ("session", "open", "--device", narrow.agent.device)
    second = narrow.technician.json(*device, "--scope", "view")["session"]
    choice = page.get_by_role("combobox", name="Session", exact=True)
    expect(choice).to_be_visible()
    choice.select_option(second)
    page.get_by_role("tab", name="Terminal").click()
    expect(page.get_by_text("The open session has no scope terminal")).to_be_visible()
    page.get_by_role("tab", name="Sessions", exact=True).click()
    listed = page.get_by_role("region", name="Sessions on this device")
    expect(listed.get_by_text("active")).to_have_count(2)
    page.get_by_role("tab", name="Scripts", exact=True).click()
    expect(page.get_by_role("button", name="Run a script…")).to_be_enabled()
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    for tab in ("Terminal", "Files", "Tools", "Scripts", "Sessions"):
        page.get_by_role("tab", name=tab, exact=True).click()
        assert layout_faults(page) == [], tab
    page.get_by_role("tab", name="Screen").click()
    end_all(narrow)
    expect(page.get_by_text("You have no session open on this device")).to_be_visible()


def _say_network(database: Path, device: str, number: int) -> None:
    """Let a device's inventory name a real card in one network, as a machine's own would."""
    item = {
        "record": "interface",
        "name": "eth9",
        "mac": f"3c:52:82:00:00:{number:02x}",
        "virtual": False,
        "addresses": [f"192.0.2.{number}/24"],
    }
    report = {
        "name": "network",
        "status": "ok",
        "reason": "",
        "collected_at": "2026-11-22T10:00:00Z",
        "duration_ms": 1,
        "items": [item],
        "hash": "0" * 64,
    }
    with closing(sqlite3.connect(database, timeout=30)) as store:
        (tenant,) = store.execute("select tenant from devices where id = ?", (device,)).fetchone()
        at, body = report["collected_at"], zlib.compress(json.dumps(report).encode())
        store.execute(
            "insert or replace into sections (tenant, device, name, status, reason, hash,"
            " collected_at, duration_ms, received_at, body) values (?,?,?,?,?,?,?,?,?,?)",
            (tenant, device, "network", "ok", "", report["hash"], at, 1, at, body),
        )
        store.execute(
            "insert or replace into device_hints (tenant, device, kind, value) values (?,?,?,?)",
            (tenant, device, "network", "192.0.2.0/24"),
        )
        store.commit()


def test_a_device_that_can_be_called_is_asleep(desk: Desk, open_page: OpenPage) -> None:
    known = desk.admin.json("device", "list")["items"]
    sleeper = desk.stage.agent(f"till-asleep-{len(known)}")
    sleeper.enrol(desk.admin.json("token", "create", "--group", "office")["token"])
    process = sleeper.start()
    number = desk.ticket("It does not wake up", device=sleeper.device)
    page = open_page(f"/devices/{sleeper.device}").page
    head = page.locator("main#main")
    expect(head.get_by_text("online", exact=True)).to_be_visible()
    process.end()
    expect(head.get_by_text("offline", exact=True)).to_be_visible()
    expect(head.get_by_role("button", name="Wake…")).to_have_count(0)
    for n, agent in enumerate((desk.agent, sleeper), 7):
        _say_network(desk.stage.relay_home / "farhand.db", agent.device, n)
    expect(head.get_by_text("asleep", exact=True)).to_be_visible()
    go(page, f"/tickets/{number}?side=device")
    expect(page.get_by_text("asleep", exact=True)).to_be_visible()
    page.get_by_role("link", name="Wake…").click()
    deed = page.get_by_role("dialog", name="Wake this device")
    expect(deed.get_by_role("radio", name="reception")).to_be_checked()
    assert axe_faults(page) == []
    deed.get_by_role("button", name="Wake this device").click()
    asked = page.get_by_role("dialog", name="Sign with your key?")
    expect(asked).to_contain_text(f"reception ({desk.agent.device})")
    asked.get_by_role("button", name="Do not sign").click()
    desk.admin.json("device", "retire", sleeper.device)
