"""A browser for each module; nothing of it is left when the module's tests are done.

Tests here are plain functions (Playwright's sync interface): an async one would find its loop
running already.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium."""
    with chromium() as one:
        yield one
