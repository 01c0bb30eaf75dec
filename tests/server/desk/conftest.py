"""A technician and a requester."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.server.desk.people import Desk
from tests.server.relays import ManualClock, SignIn

DaysPass = Callable[[float], Awaitable[None]]


@pytest.fixture
async def ann(web: httpx.AsyncClient, sign_in: SignIn) -> Desk:
    return Desk(web, await sign_in("technician", name="ann"))


@pytest.fixture
async def mia(web: httpx.AsyncClient, sign_in: SignIn) -> Desk:
    return Desk(web, await sign_in("requester", name="mia"))


@pytest.fixture
def days_pass(ann: Desk, mia: Desk, clock: ManualClock, sign_in: SignIn) -> DaysPass:
    """`await days_pass(2)`: afterwards both are signed in anew."""

    async def go(days: float) -> None:
        clock.advance(days * 86_400)
        await ann.sign_in_again(sign_in, "ann")
        await mia.sign_in_again(sign_in, "mia")

    return go
