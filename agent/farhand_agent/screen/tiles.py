"""Which parts of the screen changed since the viewer last saw them, in squares of 64 pixels.

    clean    the viewer has it as it is
    dirty    it changed, and was not sent yet
    lossy    it was sent as JPEG, and is sent once more without loss when nothing else is to do

A picture is compared with the one before in bands of 64 rows, and only a band that differs square
by square.  Comparing bytes with bytes is what C does fastest; no arithmetic on pixels is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from farhand_agent.screen.capture import Frame
from farhand_agent.screen.tight import MAX_RECTANGLE_PIXELS, MAX_RECTANGLE_WIDTH

__all__ = ["TILE", "Area", "Tiles"]

TILE: Final = 64
Tile: TypeAlias = tuple[int, int]
# x, y, width and height in pixels.
Area: TypeAlias = tuple[int, int, int, int]
_MAX_COLUMNS: Final = MAX_RECTANGLE_WIDTH // TILE
_MAX_TILES: Final = MAX_RECTANGLE_PIXELS // (TILE * TILE)


class Tiles:
    """What one viewer has of the screen."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self.dirty: set[Tile] = set()
        self.lossy: set[Tile] = set()

    def look(self, frame: Frame) -> bool:
        """Take the newest picture; True where it differs from the one before."""
        before, self._frame = self._frame, frame
        if before is None or (before.width, before.height) != (frame.width, frame.height):
            self.forget()
            return True
        if before.pixels == frame.pixels:
            return False
        changed = set(_changed(before, frame))
        self.dirty |= changed
        return bool(changed)

    def forget(self) -> None:
        """Take all of it as not seen yet."""
        if self._frame is not None:
            self.lossy.clear()
            self.dirty = set(_all(self._frame))

    def take_dirty(self) -> list[Area]:
        """Return the areas that are dirty, as few as possible, and take them as sent."""
        areas = self._areas(self.dirty)
        self.dirty = set()
        return areas

    def take_lossy(self, most: int) -> list[Area]:
        """Return some areas that were sent with loss, of at most `most` squares in all."""
        some = sorted(self.lossy, key=_reading_order)[:most]
        self.lossy.difference_update(some)
        return self._areas(some)

    def lose(self, area: Area) -> None:
        """Note that an area was sent with loss."""
        self.lossy.update(_within(area))

    def keep(self, area: Area) -> None:
        """Note that an area was sent as it is."""
        self.lossy.difference_update(_within(area))

    def _areas(self, tiles: Iterable[Tile]) -> list[Area]:
        assert self._frame is not None
        width, height = self._frame.width, self._frame.height
        return [(x, y, min(w, width - x), min(h, height - y)) for x, y, w, h in _merge(set(tiles))]


def _changed(before: Frame, after: Frame) -> Iterator[Tile]:
    stride = 4 * after.width
    band = stride * TILE
    for row, start in enumerate(range(0, len(after.pixels), band)):
        old, new = before.pixels[start : start + band], after.pixels[start : start + band]
        if old == new:
            continue
        for column, left in enumerate(range(0, stride, 4 * TILE)):
            right = min(left + 4 * TILE, stride)
            if any(
                old[at + left : at + right] != new[at + left : at + right]
                for at in range(0, len(new), stride)
            ):
                yield column, row


def _all(frame: Frame) -> Iterator[Tile]:
    return _within((0, 0, frame.width, frame.height))


def _within(area: Area) -> Iterator[Tile]:
    x, y, width, height = area
    for row in range(y // TILE, -(-(y + height) // TILE)):
        for column in range(x // TILE, -(-(x + width) // TILE)):
            yield column, row


def _reading_order(tile: Tile) -> Tile:
    column, row = tile
    return row, column


def _merge(tiles: set[Tile]) -> Iterator[Area]:
    """Yield areas that cover the squares: as far right as goes, then as far down as that is so."""
    for column, row in sorted(tiles, key=_reading_order):
        if (column, row) not in tiles:
            continue
        across = 1
        while across < _MAX_COLUMNS and (column + across, row) in tiles:
            across += 1
        down = 1
        while (down + 1) * across <= _MAX_TILES and all(
            (column + one, row + down) in tiles for one in range(across)
        ):
            down += 1
        tiles -= {(column + one, row + two) for one in range(across) for two in range(down)}
        yield column * TILE, row * TILE, across * TILE, down * TILE
