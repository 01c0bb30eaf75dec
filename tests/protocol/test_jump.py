"""What the relay signs about its jump port."""

from __future__ import annotations

import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.jump import jump_statement

KEY = bytes(range(32))


def test_the_bytes() -> None:
    assert jump_statement("t-1", "relay.example", 2222, KEY) == (
        b"farhand-jump-v1\0t-1\0relay.example\x002222\0" + KEY
    )


@pytest.mark.parametrize(
    ("tenant", "host", "port", "key"),
    [
        ("t-1", "", 22, KEY),
        ("t-1", "a" * 254, 22, KEY),
        ("t-1", "two words", 22, KEY),
        ("t-1", "a\nb", 22, KEY),
        ("t-1", "bücher", 22, KEY),
        ("t-1", "a", 0, KEY),
        ("t-1", "a", 65_536, KEY),
        ("t-1", "a", 22, KEY[:31]),
        ("t\0", "a", 22, KEY),
    ],
)
def test_parts_out_of_bounds(tenant: str, host: str, port: int, key: bytes) -> None:
    with pytest.raises(FarhandError) as caught:
        jump_statement(tenant, host, port, key)
    assert caught.value.code == "jump-malformed"
