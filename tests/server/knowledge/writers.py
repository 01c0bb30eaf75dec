"""Somebody at the library of articles, as tests play her."""

from __future__ import annotations

from typing import Any

import httpx

__all__ = ["PNG", "Library"]

# The smallest thing that begins as a picture does.
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


class Library:
    """One person's calls."""

    def __init__(self, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.web = web
        self.headers = headers

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.web.post(f"/api/v1{path}", headers={**self.headers, **headers}, json=body)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.web.get(f"/api/v1{path}", headers=self.headers, params=params)

    async def done(self, path: str, body: Any, **headers: str) -> Any:
        """Do what must work."""
        answer = await self.post(path, body, **headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def read(self, path: str, **params: Any) -> Any:
        """Read what must be there."""
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, path: str, body: Any, **headers: str) -> str:
        """Do what must not work; returns the code."""
        answer = await self.post(path, body, **headers)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["code"])

    async def article(
        self, slug: str, title: str, body: str, *, publish: bool = True, **more: Any
    ) -> Any:
        """Make an article, published unless told otherwise."""
        new = {"slug": slug, "title": title, "body": body, "visibility": "public", **more}
        made = await self.done("/knowledge/articles", new)
        if publish:
            return await self.done(f"/knowledge/articles/{slug}/step", {"step": "publish"})
        return made

    async def found(self, q: str, **params: Any) -> list[str]:
        """Return the slugs that a search finds, best first."""
        answer = await self.read("/knowledge/search", q=q, **params)
        return [one["slug"] for one in answer["items"]]
