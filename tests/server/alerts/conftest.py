"""What the tests of alerts start from: enrolled devices whose checks say what they are told."""

from __future__ import annotations

from tests.server.fleet.conftest import make_device

__all__ = ["make_device"]
