"""A running backend of the web console for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.console.web.backend import Backend, backend


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Backend]:
    """A backend that has let nobody in."""
    async with backend(tmp_path) as one:
        yield one


@pytest.fixture
async def web(outside: Backend) -> Backend:
    """A backend with one browser let in."""
    await outside.enter()
    return outside
