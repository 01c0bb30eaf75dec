"""Scripts that should not be used any more."""

from __future__ import annotations

from typing import Any

import pytest

from farhand_protocol.deprecations import Deprecation, Deprecations, check_deprecations
from farhand_protocol.errors import FarhandError
from tests.protocol.samples import TENANT


def deprecated(**changes: Any) -> Deprecation:
    values = {"script": "remedy.greet", "version": None, "reason": "rude", "successor": None}
    return Deprecation(**values | {"at": "2026-11-22T08:00:00Z"} | changes)


def test_what_is_said_of_a_version_goes_before_what_is_said_of_all() -> None:
    every, second = deprecated(), deprecated(version=2, reason="worse")
    listed = check_deprecations(Deprecations(tenant=TENANT, deprecated=[every, second]))
    assert listed.find("remedy.greet", 2) is second
    assert listed.find("remedy.greet", 1) is every
    assert listed.find("remedy.other", 1) is None


@pytest.mark.parametrize("reason", ["", "x" * 501, "two\nlines"])
def test_a_deprecation_gives_a_reason(reason: str) -> None:
    with pytest.raises(FarhandError, match="trust-malformed"):
        check_deprecations(Deprecations(tenant=TENANT, deprecated=[deprecated(reason=reason)]))
