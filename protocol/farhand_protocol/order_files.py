"""An order that travels as a file, for a device whose network is what is broken.

The file holds the sealed order and the trust metadata with which the device brings its verified
copy up to date before it checks: the very files that the relay would have served, by the names
under which the device asks for them (`metadata/2.root.json`, `target/DIGEST.roster.json`).  Nothing
in it counts because it is in the file; root, threshold, expiry and approvals are checked as they
are online.

    "farhand order v1\\n" | zlib(MessagePack of OrderFile)

What comes back is the device's sealed `orders.Result`, as it is, in a file of its own.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "MAX_ORDER_FILE_BYTES",
    "MAX_ORDER_FILE_NAMES",
    "OrderFile",
    "pack_order",
    "unpack_order",
]

MAGIC: Final = b"farhand order v1\n"
MAX_ORDER_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_ORDER_FILE_NAMES: Final = 10_000


class OrderFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order` is the sealed order; `trust` maps `metadata/NAME` and `target/NAME` to content."""

    order: bytes
    trust: dict[str, bytes]


def pack_order(carried: OrderFile) -> bytes:
    """Return the bytes of the file.

    Raises:
        FarhandError: `order-file-too-large`.
    """
    plain = msgspec.msgpack.encode(carried, order="sorted")
    if len(plain) > MAX_ORDER_FILE_BYTES or len(carried.trust) > MAX_ORDER_FILE_NAMES:
        raise FarhandError(
            "order-file-too-large", "order and trust metadata do not fit into one file"
        )
    return MAGIC + zlib.compress(plain, 9)


def unpack_order(data: bytes) -> OrderFile:
    """Read such a file without believing it.

    Args:
        data: at most `MAX_ORDER_FILE_BYTES`.

    Raises:
        FarhandError: `order-file-malformed`.
    """
    if not data.startswith(MAGIC) or len(data) > MAX_ORDER_FILE_BYTES:
        raise _malformed("this is no order of Farhand")
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data[len(MAGIC) :], MAX_ORDER_FILE_BYTES)
        if not inflater.eof or inflater.unused_data:
            raise _malformed("the order's file is cut off or too large")
        carried = msgspec.msgpack.decode(plain, type=OrderFile)
    except (zlib.error, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _malformed("the order's file cannot be read") from error
    if len(carried.trust) > MAX_ORDER_FILE_NAMES:
        raise _malformed("the order's file holds too many files")
    return carried


def _malformed(words: str) -> FarhandError:
    return FarhandError("order-file-malformed", words, hint="copy the file again")
