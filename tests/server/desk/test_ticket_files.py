"""Files of a ticket over the API: who reads the words gets their files, as downloads only."""

from __future__ import annotations

from typing import Literal

from farhand_server.desk.merging import merge_ticket
from farhand_server.desk.moves import add_message
from farhand_server.desk.tickets import get_ticket
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.relay import Relay
from tests.server.desk.people import Desk

HTML = b"<script>alert(1)</script>"


async def _put(
    relay: Relay,
    ticket: str,
    *names: str,
    kind: Literal["reply", "note"] = "reply",
    content: bytes = HTML,
) -> int:
    """Say something with files."""
    async with relay.db.write() as c:
        said = await add_message(
            c,
            relay,
            ref=ticket,
            kind=kind,
            body="see below",
            actor="ann",
        )
        for place, name in enumerate(names):
            kept = await keep_blob(c, relay, content, "text/html")
            await attach(c, relay.tenant, said.seq, place, kept, name)
    return said.seq


async def test_files_are_listed_page_by_page_and_fetched(relay: Relay, ann: Desk) -> None:
    await ann.new(requester="mia")
    await ann.new(title="the same again")
    first = await _put(relay, "1", "a.html", 'b "c"\u202e.html')
    merged = await _put(relay, "2", "d.html", content=b"other")
    async with relay.db.write() as c:
        source = await get_ticket(c, relay.tenant, "2")
        await merge_ticket(
            c, relay, source=source, target=await get_ticket(c, relay.tenant, "1"), actor="ann"
        )
    seen, cursor = [], None
    while True:
        page = (await ann.get("/1/files", limit=2, **({"cursor": cursor} if cursor else {}))).json()
        seen += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert [(one["message"], one["place"], one["name"]) for one in seen] == [
        (first, 0, "a.html"),
        (first, 1, 'b "c".html'),
        (merged, 0, "d.html"),
    ]
    assert {(one["size"], one["media_type"]) for one in seen} == {
        (len(HTML), "text/html"),
        (5, "text/html"),
    }
    fetched = await ann.get(f"/1/files/{first}/1")
    assert fetched.content == HTML
    assert fetched.headers["content-type"] == "application/octet-stream"
    assert fetched.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''b%20%22c%22.html"
    )
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in fetched.headers["content-security-policy"]
    for wrong in (f"/1/files/{first}/2", f"/1/files/{first + 90}/0"):
        assert (await ann.get(wrong)).json()["code"] == "not-found"
    assert (await ann.get(f"/1/files/{2**80}/0")).status_code == 422


async def test_who_does_not_read_the_words_does_not_get_the_files(
    relay: Relay, ann: Desk, mia: Desk
) -> None:
    await ann.new(requester="mia")
    await ann.new(title="somebody else", requester="tom")
    note = await _put(relay, "1", "internal.txt", kind="note")
    open_to_her = await _put(relay, "1", "hers.txt")
    other = await _put(relay, "2", "toms.txt")
    assert [one["name"] for one in (await mia.get("/1/files")).json()["items"]] == ["hers.txt"]
    assert (await mia.get(f"/1/files/{open_to_her}/0")).status_code == 200
    for path in (f"/1/files/{note}/0", f"/1/files/{other}/0", "/2/files", f"/2/files/{other}/0"):
        assert (await mia.get(path)).json()["code"] == "not-found", path
    # The ticket's own number does not open another one's file to the desk either.
    assert (await ann.get(f"/1/files/{other}/0")).json()["code"] == "not-found"
    assert len((await ann.get("/1/files")).json()["items"]) == 2
