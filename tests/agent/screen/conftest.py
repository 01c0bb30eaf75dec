"""One screen for all tests of this folder that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.xvfb import xvfb

__all__ = ["screen"]


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    """The name of a display of 800 x 600, on which nothing else happens."""
    with xvfb(800, 600) as display:
        yield display
