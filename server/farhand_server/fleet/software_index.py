"""Which devices have a version of a package: bits, and what moved since they were written.

    devices.number     a small number for each device, drawn from `device_numbers`
    software_index     for each version, one bit per device, 8192 of them in a row, compressed
    software_moves     installed or removed since, one row each: written with every report

A report only adds rows to `software_moves`, so reports never wait for one another over a package
that all of them update.  `fold` works them into the bits, many at a time; a search reads the bits
of the few versions it is about and then the moves of those.  30 million installed packages are some
30 MB this way, and "who has it" is a handful of rows (docs/adr/0012).
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, exists, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.packages import given_numbers, in_chunks
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    device_numbers,
    devices,
    package_versions,
    packages,
    software_index,
    software_moves,
)

__all__ = [
    "BLOCK_BITS",
    "decode_bits",
    "devices_with",
    "encode_bits",
    "fold",
    "forget_unused",
    "keep_folding",
    "note_moves",
    "number_of",
    "numbers_in",
    "write_bits",
]

_log = logging.getLogger(__name__)

BLOCK_BITS: Final = 8192
MAX_FOLDED: Final = 50_000
MAX_FORGOTTEN: Final = 20_000
_WORTH_PACKING: Final = 4
# Stands before bits that are not packed; no zlib stream begins so.
_PLAIN: Final = b"\0"
FOLD_S: Final = 30.0
FORGET_S: Final = 3600.0
# Any fixed number: nodes fold one after the other.
_FOLD_LOCK: Final = 0x666F6C64
_OFFSETS: Final = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


def encode_bits(bits: int) -> bytes:
    """Return a block's bits as they are stored: packed where that makes them much smaller.

    What many devices have, but not all, hardly shrinks, and unpacking is most of what a search for
    many titles at once would cost.
    """
    plain = bits.to_bytes(BLOCK_BITS // 8, "little")
    packed = zlib.compress(plain, 1)
    return packed if len(packed) <= len(plain) // _WORTH_PACKING else _PLAIN + plain


def decode_bits(data: bytes) -> int:
    """Return the bits of a stored block."""
    plain = data[1:] if data[:1] == _PLAIN else zlib.decompress(data)
    return int.from_bytes(plain, "little")


async def number_of(c: AsyncConnection, tenant: str, device: str) -> int:
    """Return the device's number, drawn now if it has none; the caller holds its row."""
    mine = (devices.c.tenant == tenant, devices.c.id == device)
    number = await c.scalar(select(devices.c.number).where(*mine))
    if number is None:
        drawn = insert(device_numbers).values(tenant=tenant, device=device)
        number = await c.scalar(drawn.returning(device_numbers.c.number))
        await c.execute(update(devices).where(*mine).values(number=number))
    return int(number)


async def note_moves(
    c: AsyncConnection, *, tenant: str, device: str, before: set[int], after: set[int]
) -> None:
    """Note which versions a device has no more, and which it has now; the caller holds its row."""
    moves = [(one, False) for one in sorted(before - after)]
    moves += [(one, True) for one in sorted(after - before)]
    if not moves:
        return
    number = await number_of(c, tenant, device)
    rows = [
        {"package_version": version, "number": number, "is_there": is_there}
        for version, is_there in moves
    ]
    await c.execute(insert(software_moves), rows)


async def devices_with(c: AsyncConnection, versions: Sequence[int]) -> int:
    """Return the devices that have at least one of these versions: bit N is the device N."""
    given = given_numbers(c.dialect.name, versions)
    query = select(
        software_index.c.package_version, software_index.c.block, software_index.c.devices
    ).where(software_index.c.package_version.in_(given))
    blocks = [tuple(row) for row in await c.execute(query)]
    since = (
        select(software_moves.c.package_version, software_moves.c.number, software_moves.c.is_there)
        .where(software_moves.c.package_version.in_(given))
        .order_by(software_moves.c.seq)
    )
    moves = [tuple(row) for row in await c.execute(since)]
    return await asyncio.to_thread(_union, blocks, moves)


def _union(blocks: Sequence[tuple[int, int, bytes]], moves: Sequence[tuple[int, int, bool]]) -> int:
    by_version: dict[int, int] = {}
    for version, block, data in blocks:
        bits = decode_bits(data) << (block * BLOCK_BITS)
        by_version[version] = by_version.get(version, 0) | bits
    last = {(version, number): is_there for version, number, is_there in moves}
    for (version, number), is_there in last.items():
        by_version[version] = _with_bit(by_version.get(version, 0), number, is_there)
    union = 0
    for bits in by_version.values():
        union |= bits
    return union


def _with_bit(bits: int, number: int, is_there: bool) -> int:
    return bits | 1 << number if is_there else bits & ~(1 << number)


def numbers_in(bits: int) -> list[int]:
    """Return the numbers of the bits that are set, in order."""
    data = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    return [8 * at + offset for at, byte in enumerate(data) if byte for offset in _OFFSETS[byte]]


# Folding.


async def fold(c: AsyncConnection, *, most: int = MAX_FOLDED) -> int:
    """Work the oldest moves into the bits, inside a write transaction.

    Returns: how many; 0 where there were none, or where another node is at it.
    """
    if c.dialect.name == "postgresql":
        lock = text("SELECT pg_try_advisory_xact_lock(:key)")
        if not await c.scalar(lock, {"key": _FOLD_LOCK}):
            return 0
    upto = await c.scalar(
        select(software_moves.c.seq).order_by(software_moves.c.seq).offset(most - 1).limit(1)
    )
    # What is deleted here is what is folded: a row that a slower transaction adds meanwhile stays.
    taken = delete(software_moves).returning(
        software_moves.c.seq,
        software_moves.c.package_version,
        software_moves.c.number,
        software_moves.c.is_there,
    )
    if upto is not None:
        taken = taken.where(software_moves.c.seq <= upto)
    moves = sorted(tuple(row) for row in await c.execute(taken))
    changed: dict[tuple[int, int], dict[int, bool]] = {}
    for _seq, version, number, is_there in moves:
        block, bit = divmod(number, BLOCK_BITS)
        changed.setdefault((version, block), {})[bit] = is_there
    for versions in in_chunks(sorted({version for version, _ in changed}), 2_000):
        await _fold_versions(c, set(versions), changed)
    return len(moves)


async def _fold_versions(
    c: AsyncConnection, versions: set[int], changed: dict[tuple[int, int], dict[int, bool]]
) -> None:
    query = select(
        software_index.c.package_version, software_index.c.block, software_index.c.devices
    ).where(software_index.c.package_version.in_(given_numbers(c.dialect.name, versions)))
    stored = {(version, block): data for version, block, data in await c.execute(query)}
    mine = {place: bits for place, bits in changed.items() if place[0] in versions}
    applied = await asyncio.to_thread(_applied, stored, mine)
    await write_bits(c, {place: data for place, data in applied.items() if data})
    for (version, block), data in sorted(applied.items()):
        if not data and (version, block) in stored:
            row = (software_index.c.package_version == version, software_index.c.block == block)
            await c.execute(delete(software_index).where(*row))


def _applied(
    stored: dict[tuple[int, int], bytes], changed: dict[tuple[int, int], dict[int, bool]]
) -> dict[tuple[int, int], bytes]:
    """Return the blocks after these moves; empty where nobody is left in one."""
    found = {}
    for place, moved in changed.items():
        bits = decode_bits(stored[place]) if place in stored else 0
        for bit, is_there in moved.items():
            bits = _with_bit(bits, bit, is_there)
        found[place] = encode_bits(bits) if bits else b""
    return found


async def write_bits(c: AsyncConnection, blocks: dict[tuple[int, int], bytes]) -> None:
    """Store blocks of bits, by (version, block), over what is there."""
    make = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    added = make(software_index)
    statement = added.on_conflict_do_update(
        index_elements=["package_version", "block"], set_={"devices": added.excluded.devices}
    )
    rows = [
        {"package_version": version, "block": block, "devices": data}
        for (version, block), data in sorted(blocks.items())
    ]
    for chunk in in_chunks(rows, 2_000):
        await c.execute(statement, list(chunk))


async def forget_unused(c: AsyncConnection, *, most: int = MAX_FORGOTTEN) -> int:
    """Drop versions that no device has any more, and titles of which no version is left.

    Without this a device that makes names up would fill the dictionary.  A report that is under way
    and means such a version all the same finds it gone, fails, and comes again.

    Returns: how many versions.
    """
    versions, moves = package_versions.c, software_moves.c
    used = exists().where(software_index.c.package_version == versions.id)
    moved = exists().where(moves.package_version == versions.id)
    unused = select(versions.id).where(~used, ~moved).limit(most)
    done = await c.execute(delete(package_versions).where(versions.id.in_(unused)))
    left = exists().where(versions.package == packages.c.id)
    await c.execute(delete(packages).where(~left))
    return done.rowcount


async def keep_folding(relay: Relay) -> None:
    """Fold whenever there is something to, and forget what nobody has; ends with the relay."""
    wait_s = FOLD_S
    forget_at = relay.clock.monotonic() + FORGET_S
    while True:
        await asyncio.sleep(wait_s)
        try:
            # A moment between two, since others write too.
            wait_s = 0.1 if await _fold_once(relay) else FOLD_S
            if wait_s == FOLD_S and relay.clock.monotonic() >= forget_at:
                forget_at += FORGET_S
                async with relay.db.write() as c:
                    await forget_unused(c)
        except IntegrityError as error:
            # Somebody has just got one of them; they are tried again in an hour.
            _log.info("the dictionary of software was not swept: %s", error)
        except FarhandError as error:
            # The moves are still there; searches read them as they are.
            _log.warning("the index of software was not folded: %s", error)


async def _fold_once(relay: Relay) -> bool:
    async with relay.db.read() as c:
        if await c.scalar(select(software_moves.c.seq).limit(1)) is None:
            return False
    async with relay.db.write() as c:
        return await fold(c) == MAX_FOLDED
