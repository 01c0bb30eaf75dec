"""Campaigns, scripts and the administration in the browser: what is signed, what is live."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.console.conftest import Desk, OpenPage
from tests.support.browser import DESKTOP, PHONE, Scheme, axe_faults, layout_faults

_MANY = 5_000
# A row of a table that draws only what is seen.
_MOST_ROWS = 120


def _sign(page: Page, *facts: str) -> None:
    """Read what is about to be signed, then sign."""
    dialog = page.get_by_role("dialog", name="Sign with your key?")
    for fact in facts:
        expect(dialog).to_contain_text(fact)
    dialog.get_by_role("button", name="Sign", exact=True).click()


def _row(store: sqlite3.Connection) -> tuple[object, ...]:
    found: tuple[object, ...] = store.execute(
        "select * from devices where name = 'reception'"
    ).fetchone()
    return found


def _fill(database: Path, count: int) -> None:
    """Add devices as copies of the one that enrolled; each with a key of its own, unverifiable."""
    with closing(sqlite3.connect(database, timeout=30)) as store:
        columns = [row[1] for row in store.execute("pragma table_info(devices)")]
        first = dict(zip(columns, _row(store), strict=True))
        rows = []
        for n in range(count):
            seed = hashlib.sha256(b"device %d" % n).digest()
            own = {
                "id": f"d-{base64.b32encode(seed).decode().lower()[:26]}",
                "key": seed,
                "name": f"till-{n:04d}",
                "host_name": f"till-{n:04d}",
                "device_group": "shop",
                "number": None,
            }
            rows.append([(first | own)[name] for name in columns])
        marks = ",".join("?" * len(columns))
        store.executemany(f"insert into devices values ({marks})", rows)
        store.commit()


def test_a_script_is_written_approved_and_run(desk: Desk, open_page: OpenPage) -> None:
    page = open_page("/scripts/new", console=desk.technician).page
    page.get_by_label("Id", exact=True).fill("check.my.words")
    page.get_by_label("Title").fill('Words "as they are" \\ <b>')
    page.get_by_label("Parameters", exact=True).fill(
        '{"type": "object", "additionalProperties": false, "required": ["word"], "properties":'
        ' {"word": {"type": "string", "pattern": "^[a-z]{1,8}$"}}}'
    )
    body = page.get_by_role("textbox", name="Text")
    body.fill("#!/bin/sh\nif true; then\ncat $FARHAND_PARAMETERS\nfi\nfi\n")
    page.get_by_role("button", name="Check it").click()
    expect(page.get_by_role("status").filter(has_text="problems")).to_contain_text("1 problems")
    body.fill('#!/bin/sh\nset -eu\ncat "$FARHAND_PARAMETERS"\n')
    body.press("End")
    body.press("Tab")
    expect(body).to_be_focused()
    body.press("Escape")
    body.press("Tab")
    expect(body).not_to_be_focused()
    page.reload()
    expect(page.get_by_label("Id", exact=True)).to_have_value("check.my.words")
    page.get_by_role("button", name="Hand in for approval").click()
    _sign(page, "check.my.words", "R0")
    expect(page).to_have_url(re.compile(r"/scripts/check\.my\.words\?version=1$"))
    expect(page.get_by_role("region", name="Text of the script")).to_contain_text("set -eu")
    page.get_by_role("button", name="Approve & sign").click()
    _sign(page)
    expect(page.get_by_text("own-script", exact=True)).to_be_visible()

    # What the page names is what it showed: a relay that gives another text gets no signature.
    other = ("script", "approve", "check.my.words", "--digest", "0" * 64, "--yes")
    assert desk.admin.refused(*other, expect=3) == "script-changed"

    # Another person: Scripts > pending > Approve & sign.
    page = open_page("/queue", console=desk.admin).page
    page.get_by_role("link", name="Scripts", exact=True).click()
    waiting = page.get_by_role("region", name="Waiting for approval")
    expect(waiting).to_contain_text("0 of 1 approvals")
    waiting.get_by_role("link").click()
    page.get_by_role("button", name="Approve & sign").click()
    digest = page.get_by_label("What is signed").locator("dd").last.inner_text()
    _sign(page, "check.my.words", "R0, reads only", digest)
    expect(page.get_by_label("What is signed")).to_contain_text("Approvals: 1 of 1")
    expect(page.get_by_text("published", exact=True)).to_be_visible()

    page.get_by_role("button", name="Run", exact=True).click()
    run = page.get_by_role("dialog", name="Run a script")
    run.get_by_label("Device").fill("reception")
    run.get_by_label("word (needed)").fill("Loud!")
    expect(run.get_by_text("does not fit")).to_be_visible()
    run.get_by_label("word (needed)").fill("quiet")
    run.get_by_role("button", name="Run", exact=True).click()
    _sign(page, "reception (d-", "Parameter word", "quiet", digest)
    expect(run.get_by_text('{"word":"quiet"}')).to_be_visible()
    expect(run.get_by_text("signed by the device")).to_be_visible()


def test_a_key_is_vouched_for_as_it_was_read_on_the_device(desk: Desk, open_page: OpenPage) -> None:
    agent = desk.stage.agent("till-unsigned")
    made = desk.stage.server("token", "--group", "lab", "--json").stdout
    agent.enrol(json.loads(made)["token"])
    confirm = ("device", "confirm", agent.device, "--show", "--key", agent.device)
    shown = dict(desk.admin.json(*confirm)["shown"])
    page = open_page(f"/devices/{agent.device}", console=desk.admin).page
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Confirm its key…").click()
    deed = page.get_by_role("dialog", name="Confirm this device")
    read = deed.get_by_label("Fingerprint read there")
    read.fill("SHA256:" + "A" * 43)
    deed.get_by_role("button", name="Confirm this device").click()
    # Another key than the one that was read there: nobody is asked to sign anything.
    expect(page.get_by_text("device-unverified", exact=True)).to_be_visible()
    read.fill(shown["fingerprint"])
    deed.get_by_role("button", name="Confirm this device").click()
    _sign(page, f"till-unsigned ({agent.device})", shown["fingerprint"], "lab", shown["digest"])
    expect(page.get_by_text("unconfirmed", exact=True)).to_have_count(0)
    assert desk.technician.json("device", "show", agent.device)["confirmed"] is True

    # Waking opens a session on the neighbour, so it is asked for and can be refused.
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Wake…").click()
    deed = page.get_by_role("dialog", name="Wake this device")
    deed.get_by_label("Neighbour (device or session)").fill("reception")
    deed.get_by_role("button", name="Wake this device").click()
    asked = page.get_by_role("dialog", name="Sign with your key?")
    expect(asked).to_contain_text(f"reception ({desk.agent.device})")
    expect(asked).to_contain_text("view, terminal, files")
    asked.get_by_role("button", name="Do not sign").click()
    expect(asked).to_have_count(0)
    assert desk.admin.json("session", "list")["items"] == []
    desk.admin.json("device", "retire", agent.device)


def test_a_campaign_of_thousands_is_followed_live(desk: Desk, open_page: OpenPage) -> None:
    _fill(desk.stage.relay_home / "farhand.db", _MANY)
    page = open_page("/campaigns", console=desk.admin).page
    page.get_by_role("button", name="New campaign").click()
    new = page.get_by_role("dialog", name="New campaign")
    new.get_by_label("Script", exact=True).select_option("check.disk.space")
    new.get_by_label("Devices", exact=True).fill("name:reception")
    expect(new.get_by_text("1 device", exact=True)).to_be_visible()
    new.get_by_label("Devices", exact=True).fill("*")
    expect(new.get_by_text(f"{_MANY + 1:,} devices", exact=True)).to_be_visible()
    for ring in ("canary", "early"):
        new.get_by_role("button", name=f"Remove ring {ring}").click()
    new.get_by_role("button", name="Start", exact=True).click()
    _sign(page, "check.disk.space version 1, R0", f"{_MANY + 1:,}, set")
    # The page was there before anything had happened, and nobody reloads it.
    expect(
        page.get_by_role("heading", name=f"{_MANY + 1:,} of {_MANY + 1:,} have ended")
    ).to_be_visible(timeout=120_000)
    expect(page.get_by_text("finished", exact=True)).to_be_visible()
    causes = page.get_by_role("region", name="What went wrong")
    expect(causes).to_contain_text(f"{_MANY:,}")
    expect(causes).to_contain_text("device-unverified")
    table = page.get_by_role("table", name="Devices of the campaign")
    assert table.get_by_role("row").count() < _MOST_ROWS
    page.get_by_role("button", name="succeeded 1").click()
    expect(table.get_by_role("row")).to_have_count(2)
    table.get_by_role("button", name="reception").click()
    result = page.get_by_role("dialog", name="reception")
    expect(result.get_by_text("disk.space")).to_be_visible()
    result.get_by_role("button", name="Close").click()
    assert axe_faults(page) == []
    causes.get_by_role("button", name="Open a ticket").click()
    expect(page).to_have_url(re.compile(r"/tickets/FH-\d+$"))


def test_updates_go_to_a_canary_in_three_clicks(desk: Desk, open_page: OpenPage) -> None:
    desk.admin.json("script", "submit", "patch.apt.apply")
    desk.technician.json("script", "approve", "patch.apt.apply", "--yes")
    desk.admin.json("script", "approve", "patch.apt.apply", "--yes")
    # Nothing is installed by a test: the device is away while its order is there.
    assert desk.agent.process is not None
    desk.agent.process.end()
    page = open_page("/campaigns", console=desk.admin).page
    page.get_by_role("button", name="New from patch template").click()
    page.get_by_label("Devices", exact=True).fill("name:reception")
    page.get_by_role("button", name="Start canary").click()
    _sign(page, "patch.apt.apply version 3, R2", 'name "canary"', "count 5")
    expect(page.get_by_text("running", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="eligible 1")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("It stands still")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Abort", exact=True).click()
    page.get_by_role("button", name="Abort it").click()
    expect(page.get_by_text("aborted", exact=True)).to_be_visible()
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.get_by_role("heading", name=re.compile("^retry of"))).to_be_visible()
    expect(page.get_by_text("draft", exact=True)).to_be_visible()


def test_people_and_keys_are_looked_after(desk: Desk, open_page: OpenPage) -> None:
    one = open_page("/admin", console=desk.admin)
    page = one.page
    page.get_by_role("button", name="Add an account").click()
    page.get_by_label("Name", exact=True).fill("nils")
    page.get_by_role("button", name="Add", exact=True).click()
    once = page.get_by_role("dialog", name="A sign-in token for nils")
    token = once.locator("pre").inner_text()
    once.get_by_role("button", name="I have it").click()
    nils = desk.stage.console("nils")
    nils.login(token)
    key = nils.json("key", "show")

    page.get_by_role("tab", name="Operators").click()
    page.get_by_role("button", name="Add a person or a key").click()
    page.get_by_label("Name", exact=True).fill("nils")
    page.get_by_label("Public key").fill(key["key"])
    page.get_by_label("Fingerprint, as its owner reads it out").fill("SHA256:" + "A" * 43)
    adding = page.get_by_role("dialog", name="Whose key shall devices trust?")
    adding.get_by_role("button", name="Sign").click()
    _sign(page, "nils", "SHA256:AAAA")
    expect(page.get_by_text("key-mismatch", exact=True)).to_be_visible()
    page.get_by_label("Fingerprint, as its owner reads it out").fill(key["fingerprint"])
    adding.get_by_role("button", name="Sign").click()
    _sign(page, "nils", key["fingerprint"])
    expect(page.get_by_role("listitem").filter(has_text=key["fingerprint"])).to_be_visible()
    assert "nils" in [o["name"] for o in desk.admin.json("operator", "list")["items"]]

    page.get_by_role("tab", name="Policy").click()
    page.get_by_label("Longest session, minutes").fill("45")
    page.get_by_role("button", name="Sign the change").click()
    _sign(page, "minutes_max", "480 → 45")
    # What was to change is listed until it has been signed.
    expect(page.get_by_label("What changes")).to_have_count(0)
    expect(page.get_by_label("Longest session, minutes")).to_have_value("45")
    assert desk.admin.json("trust", "policy", "shop")["minutes_max"] == 45

    page.get_by_role("tab", name="Audit").click()
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.get_by_text("The chain is whole.")).to_be_visible()


def test_every_part_of_the_administration_can_be_read_by_all(
    desk: Desk, open_page: OpenPage
) -> None:
    page = open_page("/admin", console=desk.admin).page
    faults = []
    looks: list[tuple[tuple[int, int], Scheme]] = [(DESKTOP, "dark"), (PHONE, "light")]
    for size, scheme in looks:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        for tab in page.get_by_role("tab").all():
            tab.click()
            panel = page.get_by_role("tabpanel")
            expect(panel.locator("h2").first).to_be_visible()
            expect(panel.get_by_text(re.compile("^(Loading|Verifying|Looking)"))).to_have_count(0)
            expect(page.get_by_role("alert")).to_have_count(0)
            name = tab.inner_text()
            faults += [f"{scheme} {name}: {fault}" for fault in axe_faults(page)]
            faults += [f"{scheme} {name}: {fault}" for fault in layout_faults(page)]
    assert faults == []
