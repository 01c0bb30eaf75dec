"""What the tests of pages share: a browser without scripts, what holds for every page, a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import httpx
from sqlalchemy import select

from farhand_server.people.people import PersonTerms, add_address, create_person
from farhand_server.relay import Relay
from farhand_server.store.schema.outbox import outbox
from tests.server.relays import serving

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
HOME = "http://127.0.0.1:8443"
VOID = {"meta", "link", "input", "img", "br", "base"}


class Page(HTMLParser):
    """What a page is made of; raises where its elements do not close as they opened."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(answer.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for one, attrs in self.tags if one == tag]


def looked_at(answer: httpx.Response, status: int = 200, *, script: bool = False) -> Page:
    """Check what holds for every page; only one that says so names a script, and a file of ours."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert ("script-src 'self'" in policy) == ("script-src" in policy) == script
    # With `no-referrer` a browser would send its own forms without their origin.
    assert answer.headers["referrer-policy"] == "same-origin"
    page = Page(answer)
    for one in page.of("script"):
        assert script
        assert str(one["src"]).startswith("/pages/")
    assert bool(page.of("script")) == script
    assert page.of("style") == []
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert not [attrs for _, attrs in page.tags if "style" in attrs]
    labels = {one["for"] for one in page.of("label") if "for" in one}
    for tag in ("input", "textarea", "select"):
        for one in page.of(tag):
            if one.get("type") not in ("hidden", "radio"):
                assert one["id"] in labels, one
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert page.of("html")[0]["lang"]
    return page


@asynccontextmanager
async def browsing(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    """Lend a browser: it keeps cookies and says where its forms come from."""
    with serving(relay) as app:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 40000))
        headers = {"Origin": HOME}
        async with httpx.AsyncClient(transport=transport, base_url=HOME, headers=headers) as client:
            yield client


async def links(relay: Relay, part: str) -> list[str]:
    """Return the links of this kind that are on their way by mail."""
    await asyncio.gather(*relay.tasks._running)
    async with relay.db.read() as c:
        payloads = list(await c.scalars(select(outbox.c.payload).where(outbox.c.kind == "mail")))
    words = " ".join(str(one) for one in payloads).replace("\\n", " ").split()
    return [one.strip('"') for one in words if f"{HOME}/{part}/" in one]


async def make_mia(relay: Relay, organisation: str | None = None) -> str:
    """Make a person with a verified address; returns her id."""
    async with relay.db.write() as c:
        terms = PersonTerms(
            name="Mia", locale="en", zone="Europe/Lisbon", organisation=organisation
        )
        person = await create_person(c, relay, terms=terms, actor="test")
        await add_address(
            c, relay, person=person.id, kind="mail", value="mia@example.org", actor="test",
            is_verified=True,
        )  # fmt: skip
    return person.id


async def sign_in_mia(browser: httpx.AsyncClient, relay: Relay) -> None:
    """Sign in a person who is there already, by her link."""
    looked_at(await browser.post("/sign-in", data={"mail": "mia@example.org"}))
    link = (await links(relay, "sign-in"))[-1]
    page = looked_at(await browser.get(link))
    (token,) = [one["value"] for one in page.of("input") if one.get("name") == "token"]
    used = await browser.post("/sign-in/use", data={"token": token})
    assert (used.status_code, used.headers["location"]) == (303, "/my")
