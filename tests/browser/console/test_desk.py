"""The desk in the web console: queue, ticket, knowledge and reports, as a technician uses them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, Route, expect

from tests.browser.console.conftest import Desk, OpenPage, go
from tests.support.browser import Watched, axe_faults

# Others work on the same processors, and a signed run starts several processes.

# Markup, a link that would run, and a character that turns the line around.
HOSTILE: Final = "<img src=x onerror=document.title='owned'> <script>alert(1)</script>"


def _ticket(page: Page, number: str) -> None:
    go(page, f"/tickets/{number}")
    expect(page.locator("main h1").first).to_contain_text(number)


def _field(page: Page, name: str) -> None:
    """Wait for a dialog's field, which is there once the dialog is."""
    expect(page.get_by_role("dialog").get_by_label(name, exact=True)).to_be_visible()


def _sign(page: Page) -> None:
    asked = page.get_by_role("dialog", name="Sign with your key?")
    asked.get_by_role("button", name="Sign", exact=True).click()


def test_a_queue_shows_what_comes_and_hands_it_on(desk: Desk, seen: Watched) -> None:
    page = seen.page
    numbers = [desk.ticket(f"Screen {n} flickers", requester="ann") for n in (1, 2)]
    page.get_by_role("tab", name="Unassigned").click()
    table = page.get_by_role("table", name="Tickets")
    for number in numbers:
        table.get_by_label(f"Choose {number}").check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    # It comes by itself, and what was chosen stays so.
    late = desk.ticket("Screen 3 flickers", requester="ann")
    expect(table.get_by_text("Screen 3 flickers")).to_be_visible()
    page.get_by_role("button", name="Take", exact=True).click()
    expect(table.get_by_label(f"Choose {numbers[0]}")).to_have_count(0)
    page.get_by_role("tab", name="Mine").click()
    for number in numbers:
        expect(table.get_by_role("link", name=re.compile(rf"^{number} "))).to_be_visible()
    expect(table.get_by_label(f"Choose {late}")).to_have_count(0)
    owner = desk.admin.json("ticket", "show", numbers[1])["owner"]
    assert owner == "tess"

    page.get_by_role("searchbox", name="Search tickets").fill("screen 3")
    page.keyboard.press("Enter")
    expect(table.get_by_role("link", name=re.compile(rf"^{late} "))).to_be_visible()
    page.reload()
    expect(table.get_by_role("link", name=re.compile(rf"^{late} "))).to_be_visible()

    page.get_by_role("button", name="New ticket").click()
    dialog = page.get_by_role("dialog", name="New ticket")
    dialog.get_by_label("Title").fill(HOSTILE)
    dialog.get_by_label("What is the matter").fill("‮" + HOSTILE)
    dialog.get_by_label("Requester").fill("bob@acme.test")
    dialog.get_by_label("Device").fill("reception")
    dialog.get_by_role("button", name="Open the ticket").click()
    expect(page).to_have_url(re.compile(r"/tickets/FH-\d+$"))
    expect(page.locator("main h1").first).to_contain_text("<img src=x")
    expect(page.get_by_role("list", name="Thread, newest first")).to_contain_text("‹202e›<img")
    assert page.locator("main img").count() == 0
    assert page.title().endswith("Farhand")


def test_a_ticket_is_answered_escalated_and_resolved(desk: Desk, open_page: OpenPage) -> None:
    number = desk.ticket("The mail is late", requester="ann")
    one = open_page(f"/tickets/{number}")
    one.expect("Failed to load resource: the server responded with a status of 412")
    page = one.page
    words = page.get_by_label("Reply to the requester")
    words.fill("Which mails, and since when?")
    # What is begun as a note is a note after a reload, and never words of the reply.
    note = page.get_by_role("radio", name="Note")
    note.check(force=True)
    page.get_by_label("Internal note").fill("He is rude")
    page.reload()
    expect(page.get_by_label("Internal note")).to_have_value("He is rude")
    page.get_by_role("radio", name="Reply").check(force=True)
    expect(words).to_have_value("Which mails, and since when?")
    words.press("Control+Enter")
    thread = page.get_by_role("list", name="Thread, newest first")
    expect(thread.get_by_text("Which mails, and since when?")).to_be_visible()
    expect(words).to_have_value("")
    note.check(force=True)
    expect(page.get_by_label("Internal note")).to_have_value("He is rude")
    page.get_by_label("Internal note").fill("Greylisting, I think")
    page.get_by_role("button", name="Add the note").click()
    expect(thread.get_by_text("internal note")).to_be_visible()
    # Said elsewhere, seen here.
    desk.admin.run("ticket", "reply", number, "From another chair")
    expect(thread.get_by_text("From another chair")).to_be_visible()

    # What a colleague changes while the details are open is not put back.
    page.get_by_role("button", name="More steps").click()
    page.get_by_role("menuitem", name="Details…").click()
    details = page.get_by_role("dialog", name=f"{number}: details")
    details.get_by_label("Category").fill("mail")
    desk.admin.run("ticket", "set", number, "--impact", "high")
    expect(details.get_by_label("Impact")).to_have_value("high")
    details.get_by_role("button", name="Save").click()
    expect(details).to_have_count(0)
    after = desk.technician.json("ticket", "show", number)
    assert (after["category"], after["impact"]) == ("mail", "high")

    page.get_by_role("button", name="Escalate").click()
    dialog = page.get_by_role("dialog", name=f"Escalate {number}")
    dialog.get_by_label("Why the next tier must have it").fill("needs the mail server")
    dialog.get_by_label("What was found, and what was tried").fill("it is not the client")

    def meanwhile(route: Route) -> None:
        desk.admin.run("ticket", "set", number, "--title", "No mail comes")
        route.continue_()

    page.route(f"**/relay/tickets/{number}/escalate", meanwhile, times=1)
    dialog.get_by_role("button", name="To tier 2").click()
    expect(page.get_by_text("was changed by somebody else just now")).to_be_visible()
    expect(page.locator("main h1").first).to_contain_text("No mail comes")
    dialog.get_by_role("button", name="To tier 2").click()
    expect(page.get_by_text("tier 2", exact=True)).to_be_visible()

    page.get_by_role("button", name="Resolve").click()
    _field(page, "What solved it")
    page.get_by_label("What solved it").fill("The queue was stuck")
    page.get_by_role("dialog").get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("resolved", exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name="Connect")).to_be_disabled()
    page.get_by_role("button", name="More steps").click()
    with page.expect_download() as kept:
        page.get_by_role("menuitem", name="Export as html").click()
    assert b"Which mails" in Path(kept.value.path()).read_bytes()


def test_a_script_and_a_session_are_three_clicks_away(desk: Desk, open_page: OpenPage) -> None:
    desk.admin.json("trust", "policy", "office", "--unattended", "--consent", "notify")
    number = desk.ticket("The disk is full", requester="ann", device=desk.agent.device)
    desk.technician.run("ticket", "assign", number, "--owner", "tess")
    page = open_page("/queue").page
    table = page.get_by_role("table", name="Tickets")
    table.get_by_role("link", name=re.compile(rf"^{number} ")).click()
    page.get_by_role("button", name="Run", exact=True).click()
    dialog = page.get_by_role("dialog", name=re.compile("^Run a script"))
    dialog.get_by_role("button", name=re.compile("check.disk.space")).click()
    dialog.get_by_role("button", name="Run", exact=True).click()
    _sign(page)
    expect(dialog.get_by_text("succeeded", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    thread = page.get_by_role("list", name="Thread, newest first")
    thread.get_by_role("button", name="Show what it printed").click()
    expect(thread.locator("pre").first).to_contain_text("disk.space")
    expect(thread.locator("p").filter(has_text="free")).to_be_visible()

    page.get_by_role("button", name="Connect").click()
    page.get_by_role("dialog").get_by_role("button", name="Open", exact=True).click()
    _sign(page)
    expect(page).to_have_url(re.compile(r"/sessions/[a-z0-9-]+$"))
    session = page.url.rpartition("/")[2]
    shown = desk.technician.json("session", "show", session)
    assert shown["ticket"] == number
    desk.technician.run("session", "end", session, "--note", "seen")


def test_an_article_is_written_read_and_sent(desk: Desk, open_page: OpenPage) -> None:
    number = desk.ticket("The plotter is jammed", requester="ann")
    page = open_page("/knowledge").page
    page.get_by_role("button", name="New article").click()
    dialog = page.get_by_role("dialog", name="New article")
    dialog.get_by_label("Title").fill("A jammed plotter")
    dialog.get_by_label("Words").fill(
        "# What to do\n\nOpen the **lid**. [No](javascript:alert(1))\n\n1. Lid\n2. Paper\n\n"
        + HOSTILE
    )
    dialog.get_by_role("button", name="Make the draft").click()
    expect(page.locator("main h1").first).to_have_text("A jammed plotter")
    words = page.get_by_role("article")
    expect(words.get_by_role("heading", name="What to do")).to_be_visible()
    expect(words.locator("strong")).to_have_text("lid")
    expect(words.get_by_role("listitem")).to_have_count(2)
    assert words.locator("img, script, a").count() == 0
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_text("published", exact=True).first).to_be_visible()
    # What the desk alone reads is not offered for an answer.
    _ticket(page, number)
    page.get_by_role("button", name="Article").click()
    expect(page.get_by_text("for notes only")).to_be_visible()
    go(page, "/knowledge/a-jammed-plotter")
    page.get_by_role("button", name="Details").click()
    dialog = page.get_by_role("dialog", name="Details of the article")
    dialog.get_by_label("For whom").select_option("customers")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("customers", exact=True).first).to_be_visible()

    _ticket(page, number)
    page.get_by_role("button", name="Article").click()
    with page.expect_response("**/knowledge/articles/a-jammed-plotter/uses"):
        page.get_by_role("button", name="Insert text").first.click()
    expect(page.get_by_label("Reply to the requester")).to_have_value(
        re.compile("A jammed plotter")
    )
    used = desk.technician.json("kb", "used", "a-jammed-plotter")["items"]
    assert [one["ticket"] for one in used] == [number]


def test_a_report_says_the_same_in_every_form(desk: Desk, open_page: OpenPage) -> None:
    desk.ticket("One that counts", requester="ann")
    page = open_page("/reports?by=tier").page
    expect(page.locator(".u-wrap canvas").first).to_be_visible()
    table = page.get_by_role("region", name="The numbers").get_by_role("table").first
    opened = table.get_by_role("row").filter(has_text=re.compile("^Opened")).get_by_role("cell")
    count = int(opened.first.inner_text())
    assert count == sum(int(text) for text in opened.all_inner_texts()[1:]) >= 1
    with page.expect_download() as kept:
        page.get_by_role("link", name="tickets as CSV").click()
    rows = list(csv.reader(io.StringIO(Path(kept.value.path()).read_text())))
    assert sum("One that counts" in " ".join(row) for row in rows) == 1


def test_an_admin_sets_hours_promises_and_queues(desk: Desk, open_page: OpenPage) -> None:
    one = open_page("/admin?tab=desk", console=desk.admin)
    one.expect("Failed to load resource: the server responded with a status of 422")
    page = one.page
    page.get_by_role("button", name="New calendar").click()
    box = page.get_by_role("dialog", name="A new calendar")
    box.get_by_label("Name").fill("office")
    box.get_by_label("Time zone").fill("Europe/Nowhere")
    box.get_by_label("Monday").fill("09:00-12:00, 13:00-18:00")
    box.get_by_label("Saturday").fill("late")
    box.get_by_role("button", name="Save").click()
    expect(box.get_by_role("alert")).to_contain_text("late are no hours of a day")
    box.get_by_label("Saturday").fill("10:00-14:00")
    box.get_by_role("button", name="Save").click()
    expect(box.get_by_role("alert")).to_contain_text("'Europe/Nowhere' is no time zone")
    box.get_by_label("Time zone").fill("Europe/Lisbon")
    box.get_by_role("button", name="Add a day").click()
    box.get_by_label("Day", exact=True).fill("2026-12-25")
    box.get_by_label("Why").fill("Christmas")
    assert axe_faults(page) == []
    box.get_by_role("button", name="Save").click()
    expect(box).to_have_count(0)
    kept = desk.admin.json("calendar", "show", "office")
    assert kept["calendar"]["zone"] == "Europe/Lisbon"
    assert kept["calendar"]["week"][0] == [[540, 720], [780, 1080]]
    assert kept["calendar"]["week"][5] == [[600, 840]]
    assert kept["calendar"]["days"] == [{"day": "2026-12-25", "name": "Christmas", "windows": []}]

    page.get_by_role("button", name="New promise").click()
    box = page.get_by_role("dialog", name="A new promise")
    box.get_by_label("Name").fill("gold")
    box.get_by_label("Counted in the hours of").select_option("office")
    urgent = box.get_by_role("group", name="urgent")
    urgent.get_by_label("First answer").fill("30 min")
    urgent.get_by_label("Resolved").fill("1 h 30")
    box.get_by_role("button", name="Save").click()
    expect(box.get_by_role("alert")).to_contain_text("1 h 30 is no span of time")
    urgent.get_by_label("Resolved").fill("1 h 30 min")
    box.get_by_label("vendor").check()
    assert axe_faults(page) == []
    box.get_by_role("button", name="Save").click()
    expect(box).to_have_count(0)

    page.get_by_role("button", name="New queue").click()
    box = page.get_by_role("dialog", name="A new queue")
    box.get_by_label("Name").fill("printers")
    box.get_by_label("As people read it").fill("Printers")
    box.get_by_label("Promise").select_option("gold")
    box.get_by_role("button", name="Save").click()
    expect(box).to_have_count(0)
    expect(page.get_by_role("table", name="Queues").get_by_text("Printers")).to_be_visible()

    # Other hours are a new version, and what is promised from now on is counted in it.
    page.get_by_role("table", name="Calendars").get_by_role("button", name="office").click()
    box = page.get_by_role("dialog", name="Calendar office")
    box.get_by_label("Friday").fill("")
    expect(box.get_by_label("New tickets of gold are counted in it")).to_be_checked()
    box.get_by_role("button", name="Save").click()
    expect(box).to_have_count(0)
    policy = desk.admin.json("sla", "show", "gold")
    assert (policy["version"], policy["calendar"], policy["calendar_version"]) == (2, "office", 2)
    assert policy["policy"]["targets"]["urgent"] == {
        "first_response_s": 1800,
        "next_response_s": None,
        "resolution_s": 5400,
    }
    assert policy["policy"]["pauses"] == ["customer", "vendor"]
    with page.expect_response("**/relay/kind-promises/complaint"):
        page.get_by_label("complaint").select_option("gold")
    assert desk.admin.json("sla", "kind")["items"] == [{"kind": "complaint", "policy": "gold"}]
    desk.admin.json("sla", "kind", "complaint", "none")
