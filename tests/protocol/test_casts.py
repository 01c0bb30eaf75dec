"""Lines of a recording's plaintext: what is read, and what is refused."""

from __future__ import annotations

import pytest

from farhand_protocol.casts import CastEvent, read_lines
from farhand_protocol.errors import FarhandError


def test_an_event_is_read() -> None:
    assert list(read_lines(b'[3,0.5,"o","hi"]\n')) == [
        (3, CastEvent(interval_s=0.5, code="o", data="hi"))
    ]


@pytest.mark.parametrize(
    "line",
    [
        b'[-1,0.5,"o","hi"]\n',
        b'["0",0.5,"o","hi"]\n',
        b'[true,0.5,"o","hi"]\n',
        b'[99999999,0.5,"o","hi"]\n',
        b'[0,{"version":2,"term":{"cols":80,"rows":24}}]\n',
        b'[0,-1,"o","hi"]\n',
        b'[0,1e10,"o","hi"]\n',
        b'[0,0.5,"o","hi","more"]\n',
        b"[]\n",
        b"{}\n",
        b'[0,0.5,"o","hi"]',
    ],
)
def test_a_line_that_is_none(line: bytes) -> None:
    with pytest.raises(FarhandError) as caught:
        list(read_lines(line))
    assert caught.value.code == "recording-plaintext"
