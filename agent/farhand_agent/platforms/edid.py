"""EDID: what a monitor says about itself, the same bytes on every platform.

Source: VESA E-EDID Standard, release A: header, 8-17 identity, 21-22 size, 54-125 descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Edid", "parse_edid"]

_HEADER: Final = b"\x00\xff\xff\xff\xff\xff\xff\x00"
_BLOCK_BYTES: Final = 128
_NAME: Final = 0xFC
_SERIAL: Final = 0xFF
# Week 255 says that the year is that of the model, not of making.
_MODEL_YEAR: Final = 255


@dataclass(frozen=True, slots=True)
class Edid:
    """One monitor; None for what it does not say."""

    manufacturer: str
    product_id: str
    model: str | None
    serial: str | None
    made_year: int
    made_week: int | None
    width_mm: int | None
    height_mm: int | None
    width_px: int | None
    height_px: int | None


def parse_edid(data: bytes) -> Edid | None:
    """Return what the first block of an EDID says.

    Returns:
        None for anything that is none: a wrong header, a wrong checksum, too few bytes.
    """
    block = data[:_BLOCK_BYTES]
    if len(block) < _BLOCK_BYTES or not block.startswith(_HEADER) or sum(block) % 256:
        return None
    letters = int.from_bytes(block[8:10], "big")
    # Three letters of five bits, 1 is A; anything else is no registered maker.
    maker = "".join(chr(64 + (letters >> shift & 31)) for shift in (10, 5, 0))
    texts: dict[int, str] = {}
    width_px = height_px = width_mm = height_mm = None
    for at in range(54, 126, 18):
        part = block[at : at + 18]
        if part[0] or part[1]:
            if width_px is None:  # the first timing is the preferred one
                width_px = (part[2] | (part[4] & 0xF0) << 4) or None
                height_px = (part[5] | (part[7] & 0xF0) << 4) or None
                width_mm = (part[12] | (part[14] & 0xF0) << 4) or None
                height_mm = (part[13] | (part[14] & 0x0F) << 8) or None
        elif part[3] in (_NAME, _SERIAL):
            text = part[5:].split(b"\n")[0].decode("ascii", "replace").strip()
            texts.setdefault(part[3], text)
    number = int.from_bytes(block[12:16], "little")
    week = block[16]
    return Edid(
        manufacturer=maker,
        product_id=f"{int.from_bytes(block[10:12], 'little'):04x}",
        model=texts.get(_NAME) or None,
        serial=texts.get(_SERIAL) or (str(number) if number not in (0, 0x01010101) else None),
        made_year=1990 + block[17],
        made_week=week if 1 <= week <= 54 else None,
        width_mm=width_mm or (block[21] * 10 or None),
        height_mm=height_mm or (block[22] * 10 or None),
        width_px=width_px,
        height_px=height_px,
    )
