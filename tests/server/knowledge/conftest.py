"""People who write and read articles."""

from __future__ import annotations

import httpx
import pytest

from tests.server.knowledge.writers import Library
from tests.server.relays import SignIn


@pytest.fixture
async def ann(web: httpx.AsyncClient, sign_in: SignIn) -> Library:
    """A technician."""
    return Library(web, await sign_in("technician", name="ann"))


@pytest.fixture
async def ada(web: httpx.AsyncClient, sign_in: SignIn) -> Library:
    """An admin."""
    return Library(web, await sign_in("admin", name="ada"))


@pytest.fixture
async def mia(web: httpx.AsyncClient, sign_in: SignIn) -> Library:
    """A requester."""
    return Library(web, await sign_in("requester", name="mia"))


@pytest.fixture
def anybody(web: httpx.AsyncClient) -> Library:
    """Somebody who did not sign in."""
    return Library(web, {})
