"""kb import and kb export against a real application: out, in, and nothing has changed."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from farhand_console.cli.kb_files import export_folder, import_folder
from farhand_console.relay import Relay as ConsoleRelay
from farhand_protocol.errors import FarhandError, UsageError
from tests.server.knowledge.writers import PNG, Library

T = TypeVar("T")


class Carrier(ConsoleRelay):
    """The console's calls, carried to the application of this test on its own loop."""

    def __init__(self, library: Library, loop: asyncio.AbstractEventLoop) -> None:
        self._library = library
        self._loop = loop

    def _carried(self, method: str, path: str, **more: Any) -> httpx.Response:
        call = self._library.web.request(
            method, f"/api/v1{path}", headers=self._library.headers, **more
        )
        answer = asyncio.run_coroutine_threadsafe(call, self._loop).result(60)
        if answer.status_code >= 400:
            problem = answer.json()
            raise FarhandError(problem["code"], problem["detail"])
        return answer

    def get(self, path: str, kind: type[T], /, *, wait_s: float = 20.0, **query: object) -> T:
        given = {name: value for name, value in query.items() if value is not None}
        answer = self._carried("GET", path, params=given)
        return msgspec.json.decode(answer.content, type=kind)

    def get_bytes(self, path: str, *, wait_s: float = 60.0) -> bytes:
        return self._carried("GET", path).content

    def post(
        self,
        path: str,
        kind: type[T],
        body: object = None,
        *,
        wait_s: float = 30.0,
        if_match: int | None = None,
    ) -> T:
        answer = self._carried("POST", path, json=msgspec.to_builtins(body or {}))
        return msgspec.json.decode(answer.content, type=kind)


@pytest.fixture
async def carrier(ann: Library) -> Carrier:
    return Carrier(ann, asyncio.get_running_loop())


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_out_and_in_and_nothing_has_changed(
    ann: Library, carrier: Carrier, tmp_path: Path
) -> None:
    await ann.article(
        "how-to-stop",
        "How to stop: at once",
        "Press ![Stop](stop.png).\n\n---\n\nDone.",
        tags=["b", "a"],
        category="basics",
        checks=["check.disk.space"],
        review_due="2026-12-01",
    )
    at = "/knowledge/articles/how-to-stop"
    picture = {"name": "stop.png", "content": base64.b64encode(PNG).decode()}
    await ann.done(at + "/files", picture)
    await ann.done(at + "/texts", {"language": "de", "title": "Stopp", "body": "Drücken."})
    await ann.done(at + "/texts", {"language": "en", "title": "How to stop", "body": "Newer."})
    await ann.article("plan", "A plan", "x", publish=False, visibility="internal")
    await ann.article("old", "Old", "x")
    await ann.done("/knowledge/articles/old/step", {"step": "archive"})
    new = {"title": "First days", "description": "Read on.", "articles": ["plan", "how-to-stop"]}
    await ann.done("/knowledge/collections/first", new)
    first, second = tmp_path / "first", tmp_path / "second"
    await asyncio.to_thread(export_folder, carrier, first)
    assert sorted(tree(first)) == [
        "_collections/first.md",
        "how-to-stop/de.md",
        "how-to-stop/en.md",
        "how-to-stop/files/stop.png",
        "old/en.md",
        "plan/en.md",
    ]
    # In again: what differs is that the words edited since are published now.
    items = await asyncio.to_thread(import_folder, carrier, first)
    done = {one["slug"]: (one["done"], one["state"]) for one in items}
    assert done == {
        "how-to-stop": ("changed", "published"),
        "old": ("as it was", "archived"),
        "plan": ("as it was", "draft"),
    }
    revs = {one["language"]: one["rev"] for one in (await ann.read(at))["languages"]}
    assert revs == {"de": 1, "en": 2}
    items = await asyncio.to_thread(import_folder, carrier, first)
    assert {one["done"] for one in items} == {"as it was"}
    # Into an empty library, and out of that: the same files.
    for slug in ("how-to-stop", "plan", "old"):
        details = {"slug": f"was-{slug}"}
        await ann.done(f"/knowledge/articles/{slug}/details", details)
    items = await asyncio.to_thread(import_folder, carrier, first)
    assert {one["done"] for one in items} == {"made"}
    await asyncio.to_thread(export_folder, carrier, second)
    kept = {name: data for name, data in tree(second).items() if not name.startswith("was-")}
    stale = first / "how-to-stop" / "de.md"
    assert (await ann.read("/knowledge/articles", stale="true"))["items"][0]["slug"] == (
        "how-to-stop"
    )
    # Of an original that this library never had, only that it was another is known.
    kept["how-to-stop/de.md"] = stale.read_bytes()
    assert kept == tree(first)


# Files and calls are what is tried here; the other store has nothing to add.
@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_the_starter_articles(ann: Library, carrier: Carrier, anybody: Library) -> None:
    starter = Path(__file__).parents[3] / "console" / "farhand_console" / "articles"
    items = await asyncio.to_thread(import_folder, carrier, starter)
    assert len(items) >= 12
    for one in items:
        assert (one["done"], one["state"]) == ("made", "published")
        assert set(one["languages"]) == {"de", "en", "pt", "ro", "ru"}, one["slug"]
    for language, question, slug in (
        ("en", "how do I stop it", "stop-a-session"),
        ("de", "Was sieht der Techniker?", "what-the-technician-sees"),
        ("pt", "o que é um código", "what-a-code-is"),
        ("ro", "ce este un cod", "what-a-code-is"),
        ("ru", "как остановить сеанс", "stop-a-session"),
    ):
        found = await anybody.read("/knowledge/suggest", q=question, language=language)
        assert found["items"][0]["slug"] == slug, (question, found["items"])
        assert found["items"][0]["language"] == language
    again = await asyncio.to_thread(import_folder, carrier, starter)
    assert {one["done"] for one in again} == {"as it was"}


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_folders_that_are_none(carrier: Carrier, tmp_path: Path, ann: Library) -> None:
    article = tmp_path / "article"
    article.mkdir()
    for files in (
        {"en.md": "words"},
        {"en.md": "---\ntitle: x\n---\nno original"},
        {"en.md": "---\ntitle: x\noriginal: yes\n---\na", "EN2.md": "---\ntitle: x\n---\na"},
        {"en.md": b"\xff\xfe"},
    ):
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (article / name).write_bytes(data)
        with pytest.raises(UsageError, match="article-file-malformed"):
            await asyncio.to_thread(import_folder, carrier, tmp_path)
        for path in article.iterdir():
            path.unlink()
    assert (await ann.read("/knowledge/articles"))["items"] == []
