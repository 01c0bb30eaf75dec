"""Watches: told at first, then what changed and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_console.web import watching
from farhand_console.web.watching import MAX_WATCHES, changes_of
from tests.console.web.backend import Backend, json_answer, said

ITEMS = st.lists(st.integers(0, 3), max_size=12)


@given(ITEMS, ITEMS, st.sampled_from([None, "c"]))
def test_changes_turn_one_page_into_the_other(
    before: list[int], after: list[int], cursor: str | None
) -> None:
    old: dict[str, Any] = {"items": before, "next": cursor}
    new: dict[str, Any] = {"items": after, "next": "c"}
    found = changes_of(old, new)
    if found is None:
        return
    assert cursor == "c"
    assert 2 * len(found) <= len(after)
    patched = list(before)
    for place, item in found:
        patched[place] = item
    assert patched == after


async def test_only_what_changed_is_told(web: Backend) -> None:
    items = [{"id": number, "state": "new"} for number in range(10)]
    web.relay.answers = lambda method, address: json_answer({"items": items, "next": None})
    async with web.socket("/local/watch") as socket:
        await socket.send(json.dumps({"watch": 1, "path": "/tickets?limit=10", "every_s": 0.5}))
        assert await said(socket) == {"id": 1, "body": {"items": items, "next": None}}
        items = [*items]
        items[3] = {"id": 3, "state": "open"}
        assert await said(socket) == {"id": 1, "changes": [[3, {"id": 3, "state": "open"}]]}
        items = items[:2]
        assert await said(socket) == {"id": 1, "body": {"items": items, "next": None}}
    assert {address for _, address, _, _ in web.relay.asked} == {"/api/v1/tickets?limit=10"}


async def test_a_problem_is_told_once_and_the_next_answer_whole(web: Backend) -> None:
    told: Any = json_answer({"code": "not-permitted", "detail": "no", "hint": None}, 403)
    web.relay.answers = lambda method, address: told
    async with web.socket("/local/watch") as socket:
        await socket.send(json.dumps({"watch": 1, "path": "/audit", "every_s": 0.5}))
        assert (await said(socket))["problem"]["code"] == "not-permitted"
        told = json_answer({"items": []})
        assert await said(socket) == {"id": 1, "body": {"items": []}}
        told = (200, {"content-type": "application/json"}, b"{")
        assert (await said(socket))["problem"]["code"] == "relay-answer"


async def test_an_answer_that_is_kept_is_bounded(
    web: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MAX_WATCHED_BYTES", 1000)
    web.relay.answers = lambda method, address: json_answer({"items": ["x" * 2000]})
    async with web.socket("/local/watch") as socket:
        await socket.send(json.dumps({"watch": 1, "path": "/tickets", "every_s": 0.5}))
        assert (await said(socket))["problem"]["code"] == "relay-answer"
    assert (await web.http.get("/relay/tickets")).status_code == 200


async def test_too_much_and_what_cannot_be_read_is_refused(web: Backend) -> None:
    web.relay.answers = lambda method, address: json_answer({})
    async with web.socket("/local/watch") as socket:
        await socket.send("[")
        assert (await said(socket))["problem"]["code"] == "watch-malformed"
        for number in range(MAX_WATCHES + 1):
            await socket.send(json.dumps({"watch": number, "path": "/x", "every_s": 300}))
        seen = [await said(socket) for _ in range(MAX_WATCHES + 1)]
        codes = [one["problem"]["code"] for one in seen if "problem" in one]
        assert codes == ["watch-too-many"]
        await socket.send(json.dumps({"drop": 0}))
        await socket.send(json.dumps({"watch": 1000, "path": "/x"}))
        assert await said(socket) == {"id": 1000, "body": {}}


async def test_paths_that_leave_the_api_are_no_watch(web: Backend) -> None:
    async with web.socket("/local/watch") as socket:
        for number, path in enumerate(("/../metrics", "//x", "", "/sign-in", "/a/../b")):
            await socket.send(json.dumps({"watch": number, "path": path, "every_s": 300}))
            assert (await said(socket))["problem"]["code"] == "not-found", path
    assert web.relay.asked == []
