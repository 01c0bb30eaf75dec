"""Orders that travel by file: read back whole, and refused in every other state."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from farhand_protocol import order_files
from farhand_protocol.errors import FarhandError
from farhand_protocol.order_files import MAGIC, OrderFile, pack_order, unpack_order

CARRIED = OrderFile(order=b"sealed", trust={"metadata/1.root.json": b"{}", "target/a.json": b"x"})


def test_there_and_back() -> None:
    assert unpack_order(pack_order(CARRIED)) == CARRIED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"farhand order v2\n" + pack_order(CARRIED)[len(MAGIC) :],
        pack_order(CARRIED)[:-1],
        pack_order(CARRIED) + b"x",
        MAGIC + b"not zlib",
        MAGIC + zlib.compress(b"\xc1"),
        MAGIC + zlib.compress(msgspec.msgpack.encode({"order": "text", "trust": {}})),
        MAGIC + zlib.compress(msgspec.msgpack.encode({"order": b"", "trust": {}, "more": 1})),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FarhandError) as caught:
        unpack_order(data)
    assert caught.value.code == "order-file-malformed"


def test_bounds_hold_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack_order(CARRIED)
    inflated = pack_order(OrderFile(order=b"0" * 5000, trust={}))
    monkeypatch.setattr(order_files, "MAX_ORDER_FILE_NAMES", 1)
    with pytest.raises(FarhandError, match="order-file-malformed"):
        unpack_order(packed)
    with pytest.raises(FarhandError, match="order-file-too-large"):
        pack_order(CARRIED)
    monkeypatch.setattr(order_files, "MAX_ORDER_FILE_BYTES", 1000)
    assert len(inflated) < 1000
    with pytest.raises(FarhandError, match="order-file-malformed"):
        unpack_order(inflated)
    with pytest.raises(FarhandError, match="order-file-too-large"):
        pack_order(OrderFile(order=b"0" * 1001, trust={}))
