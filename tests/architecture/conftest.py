"""What these tests have in common: all read the same source, which one worker reads once."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep them on one worker."""
    item.add_marker(pytest.mark.xdist_group("architecture"))
