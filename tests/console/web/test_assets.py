"""The page's own files, and what stands there where nothing was built."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_console.web import assets
from tests.console.web.backend import Backend


async def test_every_address_is_the_page(
    web: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>page</title>")
    (tmp_path / "assets" / "a.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(assets, "DIST", tmp_path)
    for path in ("/", "/queue", "/tickets/FH-1", "/secret.txt", "/assets/../secret.txt"):
        answer = await web.http.get(path)
        assert answer.text == "<title>page</title>", path
        assert answer.headers["cache-control"] == "no-cache"
    script = await web.http.get("/assets/a.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    for path in ("/assets/b.js", "/assets/%2e%2e/secret.txt", "/assets/..%2fsecret.txt"):
        answer = await web.http.get(path)
        assert "secret" not in answer.text


async def test_a_page_that_was_not_built_says_so(
    web: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "DIST", tmp_path)
    assert not assets.is_built()
    answer = await web.http.get("/queue")
    assert answer.status_code == 503
    assert "ui-not-built" in answer.text
    assert (await web.http.get("/local/me")).json()["account"] == "tess"
