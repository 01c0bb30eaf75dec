"""People at the desk, as tests play them."""

from __future__ import annotations

from typing import Any

import httpx

from tests.server.relays import SignIn

__all__ = ["Desk"]


class Desk:
    """One person at the desk."""

    def __init__(self, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.web = web
        self.headers = headers

    async def sign_in_again(self, sign_in: SignIn, name: str) -> None:
        """Go on after a night in which the token ran out."""
        self.headers = await sign_in("requester", name=name)  # the account and its role are there

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.web.post(
            f"/api/v1/tickets{path}", headers={**self.headers, **headers}, json=body
        )

    async def get(self, path: str = "", **params: Any) -> httpx.Response:
        return await self.web.get(f"/api/v1/tickets{path}", headers=self.headers, params=params)

    async def new(self, title: str = "slow laptop", **more: Any) -> dict[str, Any]:
        answer = await self.post("", {"title": title, **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def step(self, ticket: str, step: str, /, **body: Any) -> dict[str, Any]:
        """Take a step that must work."""
        answer = await self.post(f"/{ticket}/{step}", body)
        assert answer.status_code == 200, answer.text
        after: dict[str, Any] = answer.json()
        return after

    async def refused(self, ticket: str, step: str, /, **body: Any) -> str:
        """Take a step that must not work; returns the code."""
        answer = await self.post(f"/{ticket}/{step}", body)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["code"])

    async def change(self, ticket: str, **body: Any) -> httpx.Response:
        return await self.post(f"/{ticket}/details", body)

    async def show(self, ticket: str) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.get(f"/{ticket}")).json()
        return shown

    async def kinds(self, ticket: str, what: str) -> list[str]:
        return [one["kind"] for one in (await self.get(f"/{ticket}/{what}")).json()["items"]]
