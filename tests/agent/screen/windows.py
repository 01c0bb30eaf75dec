"""Windows of a real X11 program, for tests: they draw, and note what reaches them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PIL import Image
from Xlib import X, display
from Xlib.protocol import event

__all__ = ["PATIENCE_S", "Window", "owner_of_clipboard"]

PATIENCE_S = 30.0


class Window:
    """A window without a frame, at a place on the screen; a context manager."""

    def __init__(self, name: str, box: tuple[int, int, int, int], colour: int = 0xFFFFFF) -> None:
        self.display: Any = display.Display(name)
        x, y, width, height = box
        self.size = width, height
        screen = self.display.screen()
        self.window = screen.root.create_window(
            x, y, width, height, 0, screen.root_depth,
            override_redirect=True,
            background_pixel=colour,
            event_mask=X.ButtonPressMask | X.ButtonReleaseMask | X.KeyPressMask | X.KeyReleaseMask
            | X.PointerMotionMask | X.ExposureMask | X.PropertyChangeMask,
        )  # fmt: skip
        self.window.map()
        self.display.sync()
        self.seen: list[Any] = []
        self.wait(lambda told: told.type == X.Expose)

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        self.display.close()

    def fill(self, colour: int) -> None:
        """Paint all of it."""
        self.window.change_attributes(background_pixel=colour)
        self.window.clear_area()
        self.display.sync()

    def draw(self, picture: Image.Image) -> None:
        """Paint a picture into it, a band at a time."""
        graphics = self.window.create_gc()
        for top in range(0, picture.height, 16):
            band = picture.crop((0, top, picture.width, min(top + 16, picture.height)))
            self.window.put_image(
                graphics, 0, top, band.width, band.height, X.ZPixmap, 24, 0,
                band.tobytes("raw", "BGRX"),
            )  # fmt: skip
        self.display.sync()

    def take(self) -> list[Any]:
        """Return what has reached it until now."""
        self.display.sync()
        while self.display.pending_events():
            self.seen.append(self.display.next_event())
        return self.seen

    def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """Return the first event that is wanted; whatever comes is kept in `seen`."""
        deadline = time.monotonic() + PATIENCE_S
        at = 0
        while time.monotonic() < deadline:
            self.take()
            for told in self.seen[at:]:
                if wanted(told):
                    return told
            at = len(self.seen)
            time.sleep(0.01)  # the X server says nothing that could be waited for with a deadline
        raise AssertionError("the window was not reached")

    def copy(self, text: str) -> None:
        """Own the clipboard with a text, and give it to one who asks."""
        atom = self.display.intern_atom
        self.window.set_selection_owner(atom("CLIPBOARD"), X.CurrentTime)
        self.display.sync()
        asked = self.wait(lambda told: told.type == X.SelectionRequest)
        self.seen.remove(asked)
        asked.requestor.change_property(asked.property, atom("UTF8_STRING"), 8, text.encode())
        asked.requestor.send_event(
            event.SelectionNotify(
                time=asked.time, requestor=asked.requestor, selection=asked.selection,
                target=asked.target, property=asked.property,
            )
        )  # fmt: skip
        self.display.sync()

    def paste(self) -> str:
        """Return what the clipboard holds."""
        atom = self.display.intern_atom
        place = atom("PASTED")
        self.window.convert_selection(atom("CLIPBOARD"), atom("UTF8_STRING"), place, X.CurrentTime)
        self.wait(lambda told: told.type == X.SelectionNotify and told.property == place)
        self.seen.clear()
        found = self.window.get_full_property(place, X.AnyPropertyType)
        return bytes(found.value).decode()


def owner_of_clipboard(name: str) -> int:
    """Return the window that owns the clipboard; 0 where none does."""
    looking: Any = display.Display(name)
    try:
        owner = looking.get_selection_owner(looking.intern_atom("CLIPBOARD"))
        return owner.id if owner else 0
    finally:
        looking.close()
