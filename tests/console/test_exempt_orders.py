"""Emergency orders that wait for a second person: what she reads before she signs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farhand_console.exempt_orders import read_half_signed
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from tests.protocol.samples import signer
from tests.protocol.test_exemptions import PEOPLE, exempt

TRUST: Any = SimpleNamespace(roster=PEOPLE, revocations=SimpleNamespace(revoked=[]))


def read(folder: Path, at: str = "2026-11-22T08:10:00Z", **changes: Any) -> list[str]:
    file = folder / "order"
    file.write_bytes(encode_envelope(seal(exempt(**changes), signer("alice"))))
    return read_half_signed(file, TRUST, now=parse_instant(at)).signed_by


def test_an_honest_one_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) == ["alice"]


@pytest.mark.parametrize(
    "changes",
    [
        # For a day, by a time of signing that is yet to come.
        {"issued_at": "2026-11-23T08:00:00Z", "expires": "2026-11-23T08:30:00Z"},
        {"expires": "2026-11-23T08:00:00Z"},
        {
            "issued_at": "2026-11-23T08:00:00Z",
            "not_before": "2026-11-23T08:00:00Z",
            "expires": "2026-11-23T08:30:00Z",
        },
    ],
)
def test_one_that_lives_longer_than_its_hour_is_not_signed(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(FarhandError) as caught:
        read(tmp_path, **changes)
    assert caught.value.code == "exemption-invalid"
