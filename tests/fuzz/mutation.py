"""A small mutating fuzzer: takes good inputs apart and puts them together wrongly.

Everything follows from the seed, so a case that fails is found again by its target, seed and
number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

__all__ = ["MAX_CASE_BYTES", "cases"]

MAX_CASE_BYTES = 16 * 1024

# What parsers trip over: lengths and tags of MessagePack, numbers at the edges, JSON, base64,
# terminal control characters, other scripts' digits, broken and unusual UTF-8.
_TOKENS = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xc0", b"\xc1", b"\xc4\xff", b"\xc6\xff\xff\xff\xff",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\xd9\xff", b"\xdb\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 600, b"\x81\xa1t",
    b"\xcf" + b"\xff" * 8,
    b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00" * 8, b"\x00\x00\x00\x01",
    b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999", b"1.0", b"9" * 400, b"-1", b"{}", b"[]",
    b"[" * 600, b'{"a":' * 600, b'"', b"\\", b"\\u0000", b"\\ud800", b",", b":", b"}", b"=", b"==",
    b"\n", b"\r\n", b" ", b"\t", b"\x1b[2J", b"\xc2\xa0", b"\xe2\x80\x93", b"\xd9\xa1", b"\xc5\xbf",
    b"\xe2\x84\xaa", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"\xc0\xaf", b"^", b"$", b"(", b")*",
    b"(?=",
    b"{9999}",
    b"|", b"[^", b"-", b"../", b"Z", b"+24:00", b"0001-01-01T00:00:00+14:00",
)  # fmt: skip


def _mutate(data: bytearray, draw: random.Random, seeds: Sequence[bytes]) -> None:
    at = draw.randint(0, len(data))
    end = min(len(data), at + draw.choice((1, 1, 2, 4, 8, 32)))
    match draw.randrange(9):
        case 0 if data:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        case 1 if data:
            data[at % len(data)] = draw.randrange(256)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end] * draw.choice((1, 2, 20))
        case 4:
            data[at:at] = draw.choice(_TOKENS)
        case 5:
            data[at:end] = draw.choice(_TOKENS)
        case 6:
            del data[at:]
        case 7:
            other = draw.choice(seeds)
            start = draw.randint(0, len(other))
            data[at:end] = other[start : start + draw.randint(0, 64)]
        case _:
            data[at:at] = draw.randbytes(draw.randint(1, 8))


def cases(seeds: Sequence[bytes], seed: str) -> Iterator[bytes]:
    """Yield inputs without end: the seeds themselves first, then what mutation makes of them.

    Args:
        seeds: good inputs; at least one.
        seed: anything; the same gives the same cases.
    """
    yield from seeds
    draw = random.Random(seed)
    while True:
        data = bytearray(draw.choice(seeds))
        for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
            _mutate(data, draw, seeds)
        yield bytes(data[:MAX_CASE_BYTES])
