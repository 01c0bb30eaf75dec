"""Articles on both stores: their way, their words, who reads them, pictures, votes, collections."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from farhand_server.api.knowledge_public import (
    MAX_READS_A_MINUTE,
    MAX_VOTES_AN_HOUR,
    make_public_rates,
)
from farhand_server.relay import Relay
from farhand_server.store.schema import article_words
from tests.server.knowledge.writers import PNG, Library
from tests.server.relays import ManualClock, SignIn

STOP = ("how-to-stop", "How to stop a session", "Press **Stop**. Everything ends at once.")


async def test_an_article_goes_its_whole_way(ann: Library, mia: Library, anybody: Library) -> None:
    made = await ann.article(*STOP, publish=False, tags=["Session", "stop"], category="basics")
    assert (made["state"], made["owner"], made["tags"]) == ("draft", "ann", ["session", "stop"])
    for reader in (mia, anybody):
        answer = await reader.get("/knowledge/public/how-to-stop")
        assert answer.status_code == 404
    assert (await mia.get("/knowledge/articles/how-to-stop")).status_code == 404
    at = "/knowledge/articles/how-to-stop"
    assert (await ann.done(at + "/step", {"step": "submit"}))["state"] == "review"
    assert await ann.refused(at + "/step", {"step": "submit"}) == "article-state"
    await ann.done(at + "/step", {"step": "publish"})
    shown = await anybody.read("/knowledge/public/how-to-stop")
    assert "<strong>Stop</strong>" in shown["html"]
    assert "owner" not in shown
    # What is edited is read once it is published.
    body = {"language": "en", "title": "How to stop", "body": "Press Ctrl-C."}
    edited = await ann.done(at + "/texts", body)
    assert edited["languages"][0] | {"title": ""} == {
        "language": "en",
        "title": "",
        "rev": 2,
        "published_rev": 1,
        "stale": False,
    }
    assert (await anybody.read("/knowledge/public/how-to-stop"))["title"] == STOP[1]
    # Nor is a new title told in a list.
    assert (await anybody.read("/knowledge/public"))["items"][0]["title"] == STOP[1]
    assert (await mia.read(at))["title"] == STOP[1]
    assert (await ann.read(at))["text"]["title"] == "How to stop"
    assert await anybody_finds(anybody, "ctrl-c") == []
    await ann.done(at + "/step", {"step": "publish"})
    assert await anybody_finds(anybody, "ctrl-c") == ["how-to-stop"]
    # The same words again are no revision.
    again = await ann.done(at + "/texts", body)
    assert again["languages"][0]["rev"] == 2
    revisions = await ann.read(at + "/texts/en")
    assert [(one["rev"], one["title"]) for one in revisions["items"]] == [
        (2, "How to stop"),
        (1, STOP[1]),
    ]
    assert (await ann.read(at, rev=1))["text"]["body"] == STOP[2]
    await ann.done(at + "/step", {"step": "archive"})
    assert (await anybody.get("/knowledge/public/how-to-stop")).status_code == 404
    assert await anybody_finds(anybody, "stop") == []
    assert await ann.found("stop") == []
    assert (await ann.read("/knowledge/articles"))["items"] == []
    archived = await ann.read("/knowledge/articles", state="archived")
    assert [one["slug"] for one in archived["items"]] == ["how-to-stop"]
    assert (await ann.done(at + "/step", {"step": "restore"}))["state"] == "draft"


async def anybody_finds(anybody: Library, q: str, **params: Any) -> list[str]:
    answer = await anybody.read("/knowledge/suggest", q=q, **params)
    return [one["slug"] for one in answer["items"]]


async def test_who_reads_what(ann: Library, mia: Library, anybody: Library) -> None:
    for visibility in ("public", "customers", "internal"):
        await ann.article(visibility, f"Secret of {visibility}", "Zebra.", visibility=visibility)
    await ann.article("draft", "A draft", "Zebra.", publish=False)

    async def listed(reader: Library, path: str) -> list[str]:
        return [one["slug"] for one in (await reader.read(path))["items"]]

    assert await listed(ann, "/knowledge/articles") == ["customers", "draft", "internal", "public"]
    assert await listed(mia, "/knowledge/articles") == ["customers", "public"]
    assert await listed(anybody, "/knowledge/public") == ["public"]
    assert sorted(await ann.found("zebra")) == ["customers", "draft", "internal", "public"]
    assert sorted(await mia.found("zebra")) == ["customers", "public"]
    assert await anybody_finds(anybody, "zebra") == ["public"]
    assert (await mia.get("/knowledge/articles/internal")).status_code == 404
    for slug in ("customers", "internal", "draft"):
        assert (await anybody.get(f"/knowledge/public/{slug}")).status_code == 404
        vote = {"useful": True, "token": "t" * 20}
        assert await anybody.refused(f"/knowledge/public/{slug}/vote", vote) == "not-found"
    assert (await anybody.get("/knowledge/articles")).status_code == 401
    assert await mia.refused("/knowledge/articles", {"title": "x", "body": "y"}) == "not-permitted"
    assert await ann.found("", language="de") == []


async def test_translations_fall_back_and_grow_stale(ann: Library, anybody: Library) -> None:
    await ann.article(*STOP)
    at = "/knowledge/articles/how-to-stop"
    german: dict[str, Any] = {
        "language": "de",
        "title": "Wie man aufhört",
        "body": "Druckerpatrone: **Stopp**.",
    }
    await ann.done(at + "/texts", german)
    shown = await anybody.read("/knowledge/public/how-to-stop", language="de")
    assert (shown["language"], shown["languages"]) == ("en", ["en"])  # not published yet
    await ann.done(at + "/step", {"step": "publish"})
    for asked, given in (("de", "de"), ("de-AT", "de"), ("ro,de", "de"), ("ro", "en"), ("", "en")):
        shown = await anybody.read("/knowledge/public/how-to-stop", language=asked)
        assert (asked, shown["language"], shown["stale"]) == (asked, given, False)
    english = {"language": "en", "title": STOP[1], "body": "Press Stop, or Ctrl-C."}
    await ann.done(at + "/texts", english)
    languages = (await ann.read(at))["languages"]
    assert [(one["language"], one["stale"]) for one in languages] == [("de", True), ("en", False)]
    # The reader of the German words still reads those of what is published.
    assert not (await anybody.read("/knowledge/public/how-to-stop", language="de"))["stale"]
    await ann.done(at + "/step", {"step": "publish"})
    assert (await anybody.read("/knowledge/public/how-to-stop", language="de"))["stale"]
    stale = await ann.read("/knowledge/articles", stale="true")
    assert [one["slug"] for one in stale["items"]] == ["how-to-stop"]
    await ann.done(at + "/texts", german | {"body": "Stopp oder Strg-C."})
    assert (await ann.read("/knowledge/articles", stale="true"))["items"] == []
    # A translation may say what it was made of, by number or by digest.
    original = (await ann.read(at + "/texts/en"))["items"]
    made_of: list[tuple[dict[str, Any], int]] = [
        ({"from_rev": 1}, 1),
        ({"original_sha256": original[0]["sha256"]}, 2),
        ({"original_sha256": "0" * 64}, 0),
    ]
    for source, from_rev in made_of:
        await ann.done(at + "/texts", german | source)
        newest = (await ann.read(at + "/texts/de"))["items"][0]
        assert (newest["from_rev"], newest["stale"]) == (from_rev, from_rev != 2)
    assert await ann.refused(at + "/texts", {**german, "from_rev": 9}) == "invalid"
    assert await ann.refused(at + "/texts", german | {"language": "??"}) == "invalid"


# What is plain code above the store is tried on one store.
@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_the_house_decides_its_languages(
    ada: Library, ann: Library, anybody: Library
) -> None:
    await ann.article(*STOP)
    at = "/knowledge/articles/how-to-stop"
    for tag in ("ro", "ru"):
        await ann.done(at + "/texts", {"language": tag, "title": tag, "body": tag})
    await ann.done(at + "/step", {"step": "publish"})
    assert await ann.refused("/knowledge/settings", {"languages": ["ru"]}) == "not-permitted"
    await ada.done("/knowledge/settings", {"languages": ["ru", "ro"]})
    shown = await anybody.read("/knowledge/public/how-to-stop", language="pt")
    assert shown["language"] == "ru"
    settings = await ada.read("/knowledge/settings")
    assert settings == {"questions": False, "four_eyes": False, "languages": ["ru", "ro"]}


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_four_eyes(ada: Library, ann: Library) -> None:
    await ada.done("/knowledge/settings", {"four_eyes": True})
    await ann.article(*STOP, publish=False)
    at = "/knowledge/articles/how-to-stop/step"
    assert await ann.refused(at, {"step": "publish"}) == "article-own-review"
    assert (await ada.done(at, {"step": "publish"}))["state"] == "published"


async def test_two_people_at_once(ann: Library, ada: Library) -> None:
    made = await ann.article(*STOP, publish=False)
    at = "/knowledge/articles/how-to-stop"
    tag = {"If-Match": f'"{made["revision"]}"'}
    await ann.done(at + "/details", {"category": "basics"}, **tag)
    assert await ada.refused(at + "/details", {"category": "other"}, **tag) == "revision-mismatch"
    words = [{"language": "en", "title": "t", "body": f"words {n}"} for n in range(4)]
    answers = await asyncio.gather(*(ann.post(at + "/texts", one) for one in words))
    codes = {one.json().get("code", "done") for one in answers}
    assert codes <= {"done", "revision-mismatch", "conflict"}
    kept = (await ann.read(at + "/texts/en"))["items"]
    assert len(kept) == 1 + sum(one.status_code == 200 for one in answers)


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_details(ann: Library) -> None:
    await ann.article(*STOP, publish=False)
    await ann.article("other", "Other", "x", publish=False)
    at = "/knowledge/articles/how-to-stop/details"
    given = {
        "slug": "stopping",
        "visibility": "customers",
        "category": "basics",
        "owner": "bob",
        "review_due": "2026-12-01",
        "checks": ["check.disk.space", "check.disk.space"],
        "tags": ["B", "a", "b"],
    }
    changed = await ann.done(at, given)
    assert changed | given | {"checks": ["check.disk.space"], "tags": ["a", "b"]} == changed
    at = "/knowledge/articles/stopping/details"
    cleared = await ann.done(at, {"category": "", "review_due": "", "checks": [], "tags": []})
    assert (cleared["category"], cleared["review_due"], cleared["checks"], cleared["tags"]) == (
        "",
        None,
        [],
        [],
    )
    assert await ann.refused(at, {"slug": "other"}) == "article-exists"
    for wrong in (
        {"slug": "../x"},
        {"slug": "Ab"},
        {"visibility": "secret"},
        {"review_due": "soon"},
        {"checks": ["rm -rf /"]},
        {"checks": [f"check.x{n}" for n in range(21)]},
        {"tags": ["\x1b[2J"]},
        {"tags": [f"t{n}" for n in range(21)]},
        {"unknown": 1},
    ):
        assert await ann.refused(at, wrong) == "invalid", wrong
    # A slug is made of the title where none is given, and is nobody else's.
    for title, slug in (("Größe & Maß?", "gro-e-ma"), ("Как?", "article"), ("Other", "other-2")):
        made = await ann.done("/knowledge/articles", {"title": title, "body": "x"})
        assert made["slug"] == slug or made["slug"].startswith(slug[:2]), made["slug"]
    new = {"title": "Other", "slug": "other", "body": "x"}
    assert await ann.refused("/knowledge/articles", new) == "article-exists"


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_what_is_due_for_review(ann: Library) -> None:
    for n, due in enumerate(("2026-10-01", "2026-11-22", "2027-01-01")):
        await ann.article(f"a-{n}", f"A {n}", "x", publish=False, review_due=due)
    await ann.article("never", "Never", "x", publish=False)
    due = await ann.read("/knowledge/articles", due_before="2026-11-22")
    assert [one["slug"] for one in due["items"]] == ["a-0", "a-1"]
    mine = await ann.read("/knowledge/articles", due_before="2026-11-22", owner="bob")
    assert mine["items"] == []


async def test_lists_filter_and_page(ann: Library) -> None:
    for n in range(5):
        await ann.article(f"a-{n}", f"A {n}", "x", publish=n < 2, tags=[f"t{n % 2}"])
    await ann.done("/knowledge/articles/a-3/texts", {"language": "de", "title": "x", "body": "y"})

    async def slugs(**params: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = await ann.read("/knowledge/articles", **params)
            found += [one["slug"] for one in page["items"]]
            if page["next"] is None:
                return found
            params["cursor"] = page["next"]

    assert await slugs(limit=2) == ["a-0", "a-1", "a-2", "a-3", "a-4"]
    assert await slugs(state="published") == ["a-0", "a-1"]
    assert await slugs(tag="t1") == ["a-1", "a-3"]
    assert await slugs(language="de") == ["a-3"]
    assert await slugs(visibility="internal") == []
    assert (await ann.get("/knowledge/articles", state="x")).status_code == 422
    assert (await ann.get("/knowledge/articles", visibility="x")).status_code == 422


async def test_pictures(ann: Library, mia: Library, anybody: Library) -> None:
    await ann.article("shown", "Shown", "![w](w.png)")
    await ann.article("hidden", "Hidden", "x", visibility="internal")
    content = base64.b64encode(PNG).decode()
    for slug in ("shown", "hidden"):
        at = f"/knowledge/articles/{slug}/files"
        made = await ann.done(at, {"name": "w.png", "content": content})
        assert (made["media_type"], made["size_bytes"]) == ("image/png", len(PNG))
    answer = await anybody.get("/knowledge/public/shown/files/w.png")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (await anybody.get("/knowledge/public/hidden/files/w.png")).status_code == 404
    assert (await mia.get("/knowledge/articles/hidden/files/w.png")).status_code == 404
    assert (await mia.get("/knowledge/articles/shown/files/w.png")).content == PNG
    svg = base64.b64encode(b"<svg onload='alert(1)'/>").decode()
    for name, what in (
        ("w.svg", svg),
        ("w.png", svg),
        ("w.jpg", content),
        ("../w.png", content),
        ("W.png", content),
        ("w.png.html", content),
    ):
        new = {"name": name, "content": what}
        assert await ann.refused("/knowledge/articles/shown/files", new) == "article-file-invalid"
    left = await ann.done("/knowledge/articles/shown/files/w.png/remove", {})
    assert left["items"] == []
    again = await ann.refused("/knowledge/articles/shown/files/w.png/remove", {})
    assert again == "not-found"


async def test_a_vote_counts_once(ann: Library, mia: Library, anybody: Library) -> None:
    await ann.article(*STOP)
    at = "/knowledge/public/how-to-stop/vote"
    for token, useful in (("a" * 22, True), ("a" * 22, False), ("b" * 22, True)):
        await anybody.done(at, {"token": token, "useful": useful})
    for useful in (False, True):
        voted = await mia.done("/knowledge/articles/how-to-stop/vote", {"useful": useful})
    assert (voted["useful"], voted["not_useful"]) == (2, 1)
    assert await anybody.refused(at, {"token": "short", "useful": True}) == "invalid"
    # A program that fetches what it sees does not vote.
    assert (await anybody.get(at)).status_code == 405


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_strangers_are_counted(anybody: Library, relay: Relay, clock: ManualClock) -> None:
    rates = relay.service(make_public_rates)
    for _ in range(MAX_READS_A_MINUTE - 1):
        rates.reads.take("192.0.2.1")
    paths = ("/knowledge/suggest", "/knowledge/public", "/knowledge/public/none")
    for path in paths:
        answer = await anybody.get(path, q="x")
        assert answer.status_code == (200 if path == paths[0] else 429), path
    clock.advance(61)
    assert (await anybody.get("/knowledge/suggest", q="x")).status_code == 200
    vote = {"useful": True, "token": "a" * 22}
    for _ in range(MAX_VOTES_AN_HOUR):
        rates.votes.take("192.0.2.1")
    assert await anybody.refused("/knowledge/public/none/vote", vote) == "rate-limited"


async def test_collections_keep_their_order(ann: Library, mia: Library) -> None:
    for slug in ("one", "two", "three"):
        visibility = "internal" if slug == "two" else "public"
        await ann.article(slug, slug, "x", visibility=visibility)
    new = {"title": "For beginners", "description": "Read on.", "articles": ["three", "two", "one"]}
    made = await ann.done("/knowledge/collections/beginners", new)
    assert made["articles"] == ["three", "two", "one"]
    assert (await mia.read("/knowledge/collections/beginners"))["articles"] == ["three", "one"]
    await ann.done("/knowledge/collections/desk", {"title": "For us", "articles": ["two"]})
    assert (await mia.get("/knowledge/collections/desk")).status_code == 404
    listed = await mia.read("/knowledge/collections")
    assert [one["name"] for one in listed["items"]] == ["beginners"]
    await ann.done("/knowledge/collections/beginners", new | {"articles": ["one"]})
    assert (await ann.read("/knowledge/collections/beginners"))["articles"] == ["one"]
    wrong = {"title": "x", "articles": ["nowhere"]}
    assert await ann.refused("/knowledge/collections/beginners", wrong) == "not-found"
    assert (await ann.read("/knowledge/collections/beginners"))["articles"] == ["one"]
    await ann.done("/knowledge/collections/beginners/remove", {})
    assert await ann.refused("/knowledge/collections/beginners/remove", {}) == "not-found"


async def test_an_article_answers_a_ticket_and_a_ticket_makes_one(
    ann: Library, mia: Library, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await ann.article(*STOP)
    await ann.article("for-us", "For us", "secret", visibility="internal")
    ticket = await ann.done("/tickets", {"title": "printer prints no more", "requester": "mia"})
    german = {"language": "de", "title": "Aufhören", "body": "Drücken Sie *Stopp*."}
    await ann.done("/knowledge/articles/how-to-stop/texts", german)
    await ann.done("/knowledge/articles/how-to-stop/step", {"step": "publish"})
    at = "/knowledge/articles/how-to-stop/reply"
    said = await ann.done(at, {"ticket": "FH-1", "words": "Please read:", "language": "de"})
    assert said["body"] == "Please read:\n\n## Aufhören\n\nDrücken Sie *Stopp*."
    linked = await ann.done(at, {"ticket": "FH-1", "form": "link"})
    assert linked["body"] == f"{STOP[1]}\nhttp://127.0.0.1:8443/kb/how-to-stop"
    bodies = [one["body"] for one in (await mia.read("/tickets/FH-1/messages"))["items"]]
    assert bodies == [said["body"], linked["body"]]
    refused = await ann.refused("/knowledge/articles/for-us/reply", {"ticket": "FH-1"})
    assert refused == "article-not-for-requesters"
    assert await mia.refused(at, {"ticket": "FH-1"}) == "not-permitted"
    await ann.done("/knowledge/articles/for-us/uses", {"ticket": "FH-1"})
    assert (await ann.read("/knowledge/articles/how-to-stop"))["used_in"] == 1
    used = (await ann.read("/knowledge/tickets/FH-1"))["items"]
    assert [(one["article"], one["kind"]) for one in used] == [
        ("for-us", "used"),
        ("how-to-stop", "reply"),
    ]
    # What the desk said last becomes a draft for the desk's eyes.
    await ann.done("/tickets/FH-1/messages", {"body": "Unplug it, wait, plug it in."})
    await mia.done("/tickets/FH-1/messages", {"body": "thanks"})
    made = await ann.done("/knowledge/promote", {"ticket": "FH-1", "tags": ["printer"]})
    assert (made["title"], made["state"], made["visibility"]) == (
        ticket["title"],
        "draft",
        "internal",
    )
    whole = await ann.read(f"/knowledge/articles/{made['slug']}")
    assert whole["text"]["body"] == "Unplug it, wait, plug it in."
    assert made["used_in"] == 1
    first = (await ann.read("/tickets/FH-1/messages"))["items"][0]["seq"]
    other = {"ticket": "FH-1", "message": first, "title": "Other", "language": "de"}
    assert (await ann.done("/knowledge/promote", other))["language"] == "de"
    assert await ann.refused("/knowledge/promote", {"ticket": "FH-1", "message": 99}) == "not-found"
    assert await ann.refused("/knowledge/promote", {"ticket": "FH-9"}) == "not-found"
    # A security ticket is nobody's business.
    await ann.done("/tickets", {"title": "theft", "requester": "mia", "security": True})
    bob = Library(web, await sign_in("technician", name="bob"))
    for path, body in (
        ("/knowledge/articles/how-to-stop/reply", {"ticket": "FH-2"}),
        ("/knowledge/articles/how-to-stop/uses", {"ticket": "FH-2"}),
        ("/knowledge/promote", {"ticket": "FH-2"}),
    ):
        assert await bob.refused(path, body) == "not-found"
    await ann.done("/knowledge/articles/how-to-stop/uses", {"ticket": "FH-2"})
    seen = (await bob.read("/knowledge/articles/how-to-stop/uses"))["items"]
    assert {one["ticket"] for one in seen} == {"FH-1"}


async def test_the_index_is_made_anew(
    ada: Library, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_server.api.knowledge_library._REINDEXED_AT_ONCE", 2)
    for n in range(3):
        await ada.article(f"a-{n}", f"Zebra {n}", "x", publish=n == 0)
    async with relay.db.write() as c:
        await c.execute(delete(article_words))
    assert await ada.found("zebra") == []
    first = await ada.done("/knowledge/reindex", {})
    assert first == {"articles": 2, "next": "a-1"}
    assert await ada.done("/knowledge/reindex", {"after": "a-1"}) == {"articles": 1, "next": None}
    assert sorted(await ada.found("zebra")) == ["a-0", "a-1", "a-2"]
