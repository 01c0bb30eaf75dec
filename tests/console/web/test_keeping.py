"""What a page takes up again lies in the console's home, and stays within its bounds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from farhand_console.web import keeping
from farhand_console.web.keeping import DRAFT_DAYS, MAX_THING_CHARS, MAX_THINGS, keep
from farhand_protocol.errors import FarhandError
from tests.console.web.backend import Backend, backend

DAY_S = 86_400.0


async def kept(web: Backend) -> dict[str, str]:
    answer = await web.http.get("/local/kept")
    assert answer.status_code == 200, answer.text
    things: dict[str, str] = answer.json()["things"]
    return things


async def post(web: Backend, things: dict[str, str]) -> int:
    answer = await web.http.post("/local/kept", json={"things": things})
    return answer.status_code


async def test_it_is_there_for_another_browser_after_a_restart(tmp_path: Path) -> None:
    async with backend(tmp_path) as first:
        await first.enter()
        assert await kept(first) == {}
        assert await post(first, {"work": "[1]", "draft.a": "half a senten"}) == 204
        assert await post(first, {"draft.a": "half a sentence", "draft.b": "x"}) == 204
        assert await post(first, {"draft.b": ""}) == 204
    async with backend(tmp_path) as second:
        assert second.origin != first.origin
        assert (await second.http.get("/local/kept")).status_code == 403
        await second.enter()
        assert await kept(second) == {"work": "[1]", "draft.a": "half a sentence"}
        [file] = (second.home.folder / "web").glob("kept-*")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # Another account of the same home finds nothing of it.
        second.home.update(account="somebody-else")
        assert await kept(second) == {}


async def test_drafts_make_room_and_the_rest_stays(web: Backend) -> None:
    now = 1_000_000_000.0
    keep(web.home, {"work": "tabs", "draft.old": "o"}, now=now)
    for n in range(MAX_THINGS - 1):
        keep(web.home, {f"draft.{n}": "x"}, now=now + 1 + n)
    [file] = (web.home.folder / "web").glob("kept-*")
    text = file.read_text()
    assert '"work"' in text
    assert "draft.old" not in text
    assert '"draft.0"' in text
    keep(web.home, {"more": "x"}, now=now + DRAFT_DAYS * DAY_S + 50)
    text = file.read_text()
    assert '"work"' in text
    assert '"draft.10"' not in text
    assert '"draft.198"' in text


async def test_what_is_no_draft_is_never_pushed_out(
    web: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_THINGS_BYTES", 1000)
    keep(web.home, {"work": "x" * 600, "draft.a": "y" * 200}, now=1.0)
    keep(web.home, {"draft.b": "z" * 200}, now=2.0)
    with pytest.raises(FarhandError, match="no room") as caught:
        keep(web.home, {"filters": "x" * 600}, now=3.0)
    assert caught.value.code == "web-kept-full"
    [file] = (web.home.folder / "web").glob("kept-*")
    text = file.read_text()
    assert "zzz" in text
    assert "yyy" not in text
    assert "filters" not in text


@pytest.mark.parametrize(
    "things",
    [
        {"": "x"},
        {"k" * 201: "x"},
        {"k": "x" * (MAX_THING_CHARS + 1)},
        {f"k{n}": "x" for n in range(MAX_THINGS + 1)},
    ],
)
async def test_what_is_beyond_its_bounds_is_refused(web: Backend, things: dict[str, str]) -> None:
    assert await post(web, things) == 400
    assert await kept(web) == {}


async def test_a_damaged_file_is_said_and_left_alone(web: Backend) -> None:
    assert await post(web, {"work": "[]"}) == 204
    [file] = (web.home.folder / "web").glob("kept-*")
    file.write_bytes(b"{half")
    assert (await web.http.get("/local/kept")).json()["code"] == "home-unreadable"
    assert await post(web, {"work": "[2]"}) == 502
    assert file.read_bytes() == b"{half"
