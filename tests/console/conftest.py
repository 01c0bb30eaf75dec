"""A console home and an organisation for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_console.home import Home
from tests.console.organisation import Organisation


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty console home."""
    return Home(tmp_path / "home")


@pytest.fixture
def organisation() -> Organisation:
    """An organisation with one device."""
    return Organisation()
