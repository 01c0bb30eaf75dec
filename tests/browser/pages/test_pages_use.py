"""People at the pages: without scripts, in a chat that is live, with a security key."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from farhand_server.desk.moves import add_message
from farhand_server.desk.watching import tell_ticket
from farhand_server.relay import Relay
from farhand_server.store.schema.outbox import outbox
from tests.browser.pages.conftest import OpenPages, Portal
from tests.support.browser import PHONE

# Many pages in one browser, beside whatever else the machine does.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_request_with_a_file_without_scripts(
    portal: Portal, open_pages: OpenPages, tmp_path: Path
) -> None:
    page = open_pages(signed_in=True, javascript=False, size=PHONE, locale="de-DE").page
    page.goto(f"{portal.url}/my")
    page.get_by_role("link", name="Deutsch").click()
    page.get_by_role("link", name="Eine neue Anfrage schreiben").click()
    page.get_by_label("In wenigen Worten").fill("Printer is silent")
    page.get_by_role("button", name="Weiter").click()
    # What may answer it already stands above the form, before anything is sent.
    expect(
        page.get_by_role("heading", name="Vielleicht ist das schon Ihre Antwort")
    ).to_be_visible()
    page.locator("#body").fill("It does nothing.")
    sent = tmp_path / "täst <b>.txt"
    sent.write_text("a file")
    page.locator("#files").set_input_files(sent)
    page.get_by_role("button", name="Senden").click()
    page.wait_for_url("**/my/FH-*")
    link = page.get_by_role("link", name="täst _b_.txt")
    with page.expect_download() as got:
        link.click()
    assert Path(got.value.path()).read_text() == "a file"
    page.locator("#body").fill("Still nothing.")
    page.get_by_role("button", name="Senden").click()
    expect(page.get_by_text("Still nothing.")).to_be_visible()


def test_a_guests_chat_is_live(portal: Portal, open_pages: OpenPages) -> None:
    page = open_pages().page
    page.goto(portal.url)
    page.get_by_role("link", name="Chat").click()
    page.get_by_label("Your name").fill("Eve <b>")
    page.get_by_label("Your mail address").fill("eve@example.com")
    page.get_by_label("What is it about?").fill("It is <i>dark</i> here")
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url("**/t/*/chat")
    talk = page.frame_locator("iframe.talk")
    expect(talk.get_by_text("It is <i>dark</i> here")).to_be_visible()
    number = page.locator("main a").first.inner_text()

    async def answer(relay: Relay) -> None:
        async with relay.db.write() as c:
            await add_message(
                c, relay, ref=number, kind="chat", body="Then <b>light</b> it.", actor="root",
                channel="chat",
            )  # fmt: skip
        await tell_ticket(relay, int(number[3:]))

    # What she is typing stays, while the answer comes.
    page.get_by_label("Your words").fill("half a sent")
    portal.do(answer)
    expect(talk.get_by_text("Then <b>light</b> it.")).to_be_visible()
    expect(page.get_by_label("Your words")).to_have_value("half a sent")
    page.get_by_label("Your words").fill("How?")
    page.get_by_role("button", name="Send").click()
    expect(talk.get_by_text("How?")).to_be_visible()
    expect(talk.locator("section")).to_have_count(3)


def _second_page(portal: Portal, page: Page) -> None:
    """Go as far as the link of a mail leads."""
    page.goto(f"{portal.url}/sign-in")
    page.get_by_label("Your mail address").fill("mia@example.org")
    page.get_by_role("button", name="Send me the link").click()
    page.get_by_text("a mail is on its way").wait_for()

    async def newest(relay: Relay) -> str:
        query = select(outbox.c.payload).where(outbox.c.key.startswith("sign-in"))
        async with relay.db.read() as c:
            found = list(await c.scalars(query.order_by(outbox.c.created_at)))
        words = str(found[-1]).replace("\\n", " ").split() if found else []
        return next((one for one in words if f"{portal.url}/sign-in/" in one), "")

    link = ""
    for _ in range(100):
        if link := portal.do(newest):
            break
        page.wait_for_timeout(100)
    page.goto(portal.url + urlsplit(link).path)
    page.get_by_role("button", name="Sign in now").click()


def test_a_security_key_signs_in(portal: Portal, open_pages: OpenPages) -> None:
    seen = open_pages(signed_in=True)
    page = seen.page
    seen.expect("Failed to load resource: the server responded with a status of 403")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    page.goto(f"{portal.url}/my/security")
    page.get_by_label("What do you call it?").fill("Blue key")
    page.get_by_role("button", name="Security key").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    codes = page.locator("code").all_inner_texts()
    assert len(codes) == 10
    page.get_by_role("button", name="Sign out").click()
    _second_page(portal, page)
    page.get_by_role("heading", name="Second factor").wait_for()
    page.get_by_label("A recovery code").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    page.get_by_role("button", name="Take a security key").click()
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url("**/my")
    expect(page.get_by_role("heading", name="My requests")).to_be_visible()
