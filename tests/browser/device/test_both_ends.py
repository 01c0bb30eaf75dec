"""The person's page and the technicians' consoles side by side, with real processes between them.

What one does the other is told in words: yes, no and silence, what is taken back, who joins and who
goes on, a lost line, a lost screen, and every end.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.device.conftest import OpenConsole, Place
from tests.browser.device.test_page import allow, begin, opened, show_code, stop
from tests.support.browser import Watched
from tests.support.stage import ConsoleHome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CAN = "order,author,approve:read,approve:change,session:*@*,approve:session"
OFFICE = ("--unattended", "--consent", "notify", "--scope", "view,terminal,files,screen")
# A relay whose codes last seconds and not minutes, which no configuration offers.
SHORT_CODES = """
import functools, runpy
import farhand_server.gateway.limits as limits
limits.GatewayLimits = functools.partial(limits.GatewayLimits, nameplate_s=6)
runpy.run_module("farhand_server", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def ole(place: Place) -> ConsoleHome:
    """A second technician, who may approve sessions."""
    return place.stage.technician(place.admin, "ole", "--can", CAN)


@pytest.fixture
def office(calm: Place) -> Iterator[Place]:
    """The device under a policy that needs nobody's yes, until it has its own again."""
    before = calm.admin.json("trust", "policy", "office")
    calm.admin.json("trust", "policy", "office", *OFFICE)
    yield calm
    if calm.stage.relay is not None:
        calm.stage.relay.end()
    calm.stage.start_relay()
    calm.admin.json(
        *("trust", "policy", "office"),
        "--unattended" if before["unattended"] else "--no-unattended",
        *("--consent", before["consent"], "--scope", ",".join(before["scopes"])),
        *("--approvals", str(before["approvals"])),
    )


def sign(page: Page) -> None:
    """Agree to the one thing that is asked."""
    page.get_by_role("dialog", name="Sign with your key?").get_by_role(
        "button", name="Sign", exact=True
    ).click()


def connect(dialog: Locator, code: str) -> None:
    """Ask for a session by a code."""
    dialog.get_by_label("Code", exact=True).fill(code)
    dialog.get_by_role("button", name="Open", exact=True).click()
    sign(dialog.page)


def widen(page: Page, scope: str) -> None:
    """Ask for one scope more."""
    page.get_by_role("button", name="Ask for more…").click()
    dialog = page.get_by_role("dialog", name="Ask for more")
    dialog.locator(f'input[value="{scope}"]').check()
    dialog.get_by_role("button", name="Ask", exact=True).click()
    sign(page)


def test_what_the_person_decides_the_technician_reads(
    place: Place, seen: Watched, console: OpenConsole
) -> None:
    person, tess = seen.page, console(place.technician, f"/tickets/{place.ticket('Printer')}")
    tess.get_by_role("button", name="Connect", exact=True).click()
    dialog = tess.get_by_role("dialog", name="Connect for")
    dialog.get_by_label("By a code").check()
    alert = dialog.get_by_role("alert")

    connect(dialog, show_code(person))
    person.get_by_role("button", name="Deny").click()
    expect(alert).to_contain_text("the person at the device refused")
    place.policy("consent_s = 5\n")
    connect(dialog, show_code(person))
    person.get_by_text("No session: nobody answered in time.").wait_for()
    expect(alert).to_contain_text("nobody answered at the device")
    place.policy()

    # Part of what was asked for.
    connect(dialog, show_code(person))
    person.locator('input[name=scope][value="files"]').uncheck()
    allow(person)
    tess.wait_for_url(re.compile("/sessions/s-"))
    open_scopes = tess.get_by_role("list", name="Open scopes")
    expect(open_scopes).to_have_text(re.compile(r"^\s*view\s*terminal\s*$"))
    expect(tess.get_by_role("tab", name="Files")).to_have_count(0)

    # Words both ways, and a thing that she is asked to do.
    talk = tess.get_by_role("region", name="Conversation")
    talk.get_by_label("Say something to the person").fill("Is the <i>lamp</i> on?")
    talk.get_by_role("button", name="Send").click()
    expect(person.get_by_text("Is the <i>lamp</i> on?")).to_be_visible()
    person.get_by_role("link", name="Write a message").click()
    person.get_by_label("To the technician:").fill("it <b>blinks</b>")
    person.get_by_role("button", name="Send").click()
    expect(talk.get_by_text("it <b>blinks</b>")).to_be_visible()
    person.get_by_role("link", name="Back to the session").click()
    talk.get_by_label("Ask the person to do something").fill("Switch it off")
    talk.get_by_role("button", name="Ask", exact=True).click()
    person.get_by_label("Why not?").fill("no switch")
    person.get_by_role("button", name="I cannot").click()
    expect(talk.get_by_text("She cannot do it: no switch")).to_be_visible()
    talk.get_by_role("button", name="Ask", exact=True).click()
    person.get_by_role("button", name="Done", exact=True).click()
    expect(tess.get_by_text("The person did it")).to_be_visible()

    # More: refused, then allowed; what is taken back goes, and says so.
    widen(tess, "files")
    person.get_by_role("heading", name="A technician asks for more").wait_for()
    person.get_by_role("button", name="Deny").click()
    more = tess.get_by_role("dialog", name="Ask for more")
    expect(more.get_by_role("alert")).to_contain_text("the person at the device refused")
    more.get_by_role("button", name="Ask", exact=True).click()
    sign(tess)
    person.get_by_role("heading", name="A technician asks for more").wait_for()
    allow(person)
    expect(tess.get_by_role("tab", name="Files")).to_be_visible()
    person.get_by_role("button", name="Take back: type commands").click()
    expect(tess.get_by_text("Taken back at the device: terminal")).to_be_visible()
    expect(tess.get_by_role("tab", name="Terminal")).to_have_count(0)

    stop(person)
    expect(tess.get_by_text("the person at the device stopped it")).to_be_visible()


def test_who_joins_is_let_in_by_the_person_and_may_go_on_alone(
    place: Place, seen: Watched, console: OpenConsole, ole: ConsoleHome
) -> None:
    person = seen.page
    session = opened(place, person)
    his = console(ole, f"/sessions/{session}")
    his.get_by_role("button", name="Look on").click()
    sign(his)
    person.get_by_role("heading", name="Another technician asks to join").wait_for()
    person.get_by_role("button", name="Deny").click()
    expect(his.get_by_text("the person at the device said no")).to_be_visible()
    his.get_by_role("button", name="Work beside").click()
    sign(his)
    person.get_by_role("heading", name="Another technician asks to join").wait_for()
    person.wait_for_timeout(1100)
    person.get_by_role("button", name="Allow", exact=True).click()
    expect(his.get_by_role("button", name="Leave", exact=True)).to_be_visible()
    # Talking stays with whoever has the session.
    expect(his.get_by_role("region", name="Conversation")).to_have_count(0)

    hers = console(place.technician, f"/sessions/{session}")
    hers.get_by_role("button", name="End…").click()
    dialog = hers.get_by_role("dialog", name="End the session?")
    dialog.get_by_label("Leave, and let the peer").check()
    dialog.get_by_role("button", name="Hand over").click()
    expect(hers.get_by_role("heading", name="You handed this session over")).to_be_visible()
    person.get_by_role("heading", name="ole is working on this computer").wait_for()
    talk = his.get_by_role("region", name="Conversation")
    talk.get_by_label("Say something to the person").fill("I go on")
    talk.get_by_role("button", name="Send").click()
    expect(person.get_by_text("I go on")).to_be_visible()

    his.get_by_role("button", name="End…").click()
    his.get_by_label("Note for the ticket and the receipt").fill("it was the lamp")
    his.get_by_role("dialog").get_by_role("button", name="End it").click()
    expect(his.get_by_text("it was the lamp")).to_be_visible()
    person.get_by_role("heading", name="The session is over").wait_for()
    expect(person.locator("pre")).to_contain_text("ole")


@pytest.mark.timeout(600)
def test_a_minute_of_approvals_lost_lines_and_the_end_of_time(
    office: Place, seen: Watched, console: OpenConsole, ole: ConsoleHome
) -> None:
    person = seen.page
    opening = begin(office, person, "--minutes", "1")
    allow(person)
    session = str(opening.next_json()["session"])
    person.get_by_role("heading", name="tess is working on this computer").wait_for()

    # While the minute runs, a second session on the device needs a colleague's signature.
    tess = approved(office, console, ole)
    lose_the_screen(office, tess)
    lose_the_line(office, tess)

    tess.goto(tess.url.rpartition("/")[0] + f"/{session}")
    expect(tess.get_by_text("its time was over")).to_be_visible(timeout=90_000)
    person.get_by_role("heading", name="The session is over").wait_for()
    expect(person.get_by_text("The session is over: the agreed time is over.")).to_be_visible()
    expect(person.locator("pre")).to_contain_text("the agreed time is over")

    # Nobody takes the code that she shows then, on a relay whose codes last seconds.
    office.agent.run("stop")
    person.get_by_role("link", name="Back to the start").click()
    # It may be over before anybody has read it.
    person.get_by_role("button", name="Show a code").click()
    person.get_by_text("No session: the code expired.").wait_for()


def approved(place: Place, console: OpenConsole, ole: ConsoleHome) -> Page:
    """Return tess's page of a session that ole approved, after a yes of his that came too late."""
    place.admin.json("trust", "policy", "office", "--approvals", "1")
    tess = console(place.technician, f"/devices/{place.agent.device}")
    his = console(ole, "/sessions?tab=waiting")
    tess.get_by_role("button", name="Connect…").first.click()
    dialog = tess.get_by_role("dialog", name="Connect to")
    dialog.locator('input[value="screen"]').check()
    ask = dialog.get_by_role("button", name="Connect", exact=True)
    ask.click()
    sign(tess)
    expect(dialog.get_by_text("waiting for 1 to approve")).to_be_visible()
    his.get_by_role("button", name="Approve…").click()
    question = his.get_by_role("dialog", name="Sign with your key?")
    expect(question).to_contain_text("tess of Example Support")
    expect(question).to_contain_text("reception")
    dialog.get_by_role("button", name="Stop asking").click()
    expect(ask).to_be_enabled()
    expect(his.get_by_text("Nothing waits for an approval")).to_be_attached()
    sign(his)
    expect(his.get_by_text("this session waits for no approval")).to_be_visible()

    ask.click()
    sign(tess)
    his.get_by_role("button", name="Approve…").click()
    sign(his)
    expect(his.get_by_text("Approved", exact=True)).to_be_visible()
    tess.wait_for_url(re.compile("/sessions/s-"))
    tess.locator("[data-phase=open]").wait_for()
    return tess


def lose_the_screen(place: Place, tess: Page) -> None:
    """Let what shows the screen die, then let the person take the screen back."""
    tess.get_by_role("tab", name="Screen").click()
    show = tess.get_by_role("button", name="Show the screen")
    show.click()
    shown = "() => document.querySelector('canvas')?.width === 1024"
    tess.wait_for_function(shown)
    os.kill(screen_process(place), signal.SIGKILL)
    expect(tess.get_by_role("alert")).to_contain_text("what shows the screen broke off")
    show.click()
    tess.wait_for_function(shown)
    place.agent.run("stop", "--scope", "screen")
    expect(tess.get_by_text("Taken back at the device: screen")).to_be_visible()
    expect(tess.get_by_role("tab", name="Screen")).to_have_count(0)


def lose_the_line(place: Place, tess: Page) -> None:
    """End the relay below an open terminal; the one that comes back has short codes."""
    relay, stage = place.stage.relay, place.stage
    assert relay is not None
    relay.end()
    expect(tess.get_by_text("The relay does not answer")).to_be_visible()
    tess.get_by_role("tab", name="Terminal").click()
    terminal = tess.get_by_role("region", name="Terminal 1")
    expect(terminal.get_by_text("the line is down, reconnecting")).to_be_visible()
    words = [sys.executable, "-c", SHORT_CODES, "run", "--home", str(stage.relay_home)]
    stage.relay = stage.start(words)
    stage.relay.wait_line("farhand-server: ready")
    expect(terminal.get_by_text("connected again")).to_be_visible()
    expect(tess.get_by_text("The relay does not answer")).to_have_count(0)
    terminal.locator(".xterm-screen").click()
    tess.keyboard.type("echo 4$((1))2")
    tess.keyboard.press("Enter")
    expect(terminal.locator(".xterm-rows")).to_contain_text("412", timeout=150_000)


def screen_process(place: Place) -> int:
    """Return the process that shows this device's screen."""
    home = str(place.agent.home)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if "farhand_agent.screen" not in folder.joinpath("cmdline").read_text().split("\0"):
                continue
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if home in Path("/proc", parent, "cmdline").read_text().split("\0"):
                return int(folder.name)
        except OSError:
            continue  # it ended meanwhile
    raise AssertionError("no process shows the screen")
