"""What the technician's mouse and keyboard do here, as far as they may.

    closed    nothing goes through; what comes is counted
    open      the scope `control` is open          keys and buttons go to the system's `Hands`
    frozen    a question to the person is open     closed, whatever the scopes say

Whatever was held down is let go at each way out of `open`: a key that stays pressed when nobody is
there any more would be worse than one that was never pressed.
"""

from __future__ import annotations

from typing import Final, Protocol

from farhand_agent.screen.keysyms import is_allowed

__all__ = ["MAX_HELD_KEYS", "Hands", "Injector"]

# Nobody has more fingers; what is pressed beyond it is not.
MAX_HELD_KEYS: Final = 32
# Left, middle, right, and the wheel up, down, left, right; a bit each, from the lowest.
_BUTTONS: Final = 7
_WHEEL: Final = range(4, 8)


class Hands(Protocol):
    """One system's way to move the pointer and to press what is pressed."""

    def move(self, x: int, y: int) -> None:
        """Move the pointer to a place on the whole desktop, in its own coordinates."""

    def button(self, number: int, is_down: bool) -> None:
        """Press or let go of a button: 1 left, 2 middle, 3 right."""

    def wheel(self, number: int) -> None:
        """Turn the wheel by a notch: 4 up, 5 down, 6 left, 7 right."""

    def key(self, keysym: int, is_down: bool) -> None:
        """Press or let go of a key."""

    def flush(self) -> None:
        """Let what was done take effect."""

    def close(self) -> None:
        """Leave the keyboard as it was found."""


class Injector:
    """Passes input on while it may.

    Args:
        hands: of this system.
    """

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._may = False
        self._frozen = False
        self._keys: dict[int, None] = {}
        self._buttons = 0
        self._size = (1, 1)
        self._origin = (0, 0)
        self.used = 0
        self.dropped = 0

    @property
    def is_open(self) -> bool:
        """Whether input goes through at this moment."""
        return self._may and not self._frozen

    def allow(self, may: bool, *, frozen: bool) -> None:
        """Say whether input may go through; what is held is let go where it may not."""
        self._may, self._frozen = may, frozen
        if not self.is_open:
            self.release()

    def place(self, width: int, height: int, left: int, top: int) -> None:
        """Say how large the desktop is and where it begins."""
        self._size, self._origin = (width, height), (left, top)

    def pointer(self, x: int, y: int, buttons: int) -> None:
        """Take the pointer's place and the buttons that are down, a bit each."""
        if not self._passes():
            return
        width, height = self._size
        left, top = self._origin
        self._hands.move(left + min(x, width - 1), top + min(y, height - 1))
        self._press(buttons)
        self._hands.flush()

    def key(self, keysym: int, is_down: bool) -> None:
        """Take a key that went down or up."""
        if not self._passes() or not is_allowed(keysym):
            return
        if is_down:
            if keysym not in self._keys and len(self._keys) >= MAX_HELD_KEYS:
                return
            self._keys[keysym] = None
        elif keysym not in self._keys:
            return  # it went down when nothing went through
        else:
            del self._keys[keysym]
        self._hands.key(keysym, is_down)
        self._hands.flush()

    def release(self) -> None:
        """Let go of everything, the last pressed first."""
        if not self._keys and not self._buttons:
            return
        for keysym in reversed(self._keys):
            self._hands.key(keysym, False)
        self._keys.clear()
        self._press(0)
        self._hands.flush()

    def close(self) -> None:
        """Let go of everything, for good."""
        self.allow(False, frozen=False)
        self._hands.close()

    def _passes(self) -> bool:
        if self.is_open:
            self.used += 1
        else:
            self.dropped += 1
        return self.is_open

    def _press(self, buttons: int) -> None:
        changed, self._buttons = self._buttons ^ buttons, buttons
        for number in range(1, _BUTTONS + 1):
            if not changed >> (number - 1) & 1:
                continue
            is_down = bool(buttons >> (number - 1) & 1)
            if number not in _WHEEL:
                self._hands.button(number, is_down)
            elif is_down:
                self._hands.wheel(number)
