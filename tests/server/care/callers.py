"""Somebody who calls the API, as tests play them."""

from __future__ import annotations

from typing import Any

import httpx

__all__ = ["Caller"]


class Caller:
    """One person who is signed in, or nobody."""

    def __init__(self, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.web = web
        self.headers = headers

    async def get(self, path: str, **params: Any) -> Any:
        """Return an answer that must be there."""
        answer = await self.web.get(f"/api/v1{path}", headers=self.headers, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, /, **body: Any) -> Any:
        """Do something that must work."""
        answer = await self.web.post(f"/api/v1{path}", headers=self.headers, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def refused(self, path: str, /, **body: Any) -> str:
        """Do something that must not work; returns the code."""
        answer = await self.web.post(f"/api/v1{path}", headers=self.headers, json=body)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["code"])

    async def missing(self, path: str, **params: Any) -> str:
        """Look at something that must not be seen; returns the code."""
        answer = await self.web.get(f"/api/v1{path}", headers=self.headers, params=params)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["code"])
