"""What the tests of the relay's own looks start from."""

from __future__ import annotations

from tests.server.fleet.conftest import make_device

__all__ = ["make_device"]
