"""The clipboard of X11: a selection that somebody owns, and gives out to whoever asks.

    owned by others    XFIXES tells when another program takes it; then its text is asked for
    owned by us        what the technician copied; programs here ask for it, and get it

Only text, as UTF-8 and bounded.  What was copied before the scope `clipboard` opened is not read: a
password that lay there was not copied for the technician.  A text that comes in pieces (INCR, used
for what is larger than a request) is larger than what is taken anyway.
"""

from __future__ import annotations

from typing import Any, Final

from Xlib import X, Xatom, display
from Xlib.error import ConnectionClosedError, DisplayConnectionError, XError
from Xlib.ext import xfixes
from Xlib.protocol import event

from farhand_agent.screen.rfb_clipboard import MAX_CLIPBOARD_BYTES
from farhand_protocol.errors import FarhandError

__all__ = ["X11Clipboard"]

_ANSWER: Final = "FARHAND_CLIPBOARD"


class X11Clipboard:
    """The clipboard of one display.

    Args:
        name: of the display; that of the environment where it is None.

    Raises:
        FarhandError: `screen-unavailable`.
    """

    def __init__(self, name: str | None = None) -> None:
        try:
            self._display: Any = display.Display(name)
            self._open()
        except (DisplayConnectionError, ConnectionClosedError, OSError, XError) as error:
            raise FarhandError(
                "screen-unavailable", "the desktop cannot be reached", detail=str(error)
            ) from error

    def _open(self) -> None:
        self._window = self._display.screen().root.create_window(
            -1, -1, 1, 1, 0, X.CopyFromParent, event_mask=X.PropertyChangeMask
        )
        atom = self._display.intern_atom
        self._clipboard, self._utf8 = atom("CLIPBOARD"), atom("UTF8_STRING")
        self._targets, self._answer = atom("TARGETS"), atom(_ANSWER)
        self._text = b""
        if self._display.has_extension("XFIXES"):
            self._display.xfixes_query_version()
            self._display.xfixes_select_selection_input(
                self._window, self._clipboard, xfixes.XFixesSetSelectionOwnerNotifyMask
            )
        self._display.sync()

    def put(self, text: str) -> None:
        """Let programs here have a text."""
        self._text = text.encode("utf-8", "replace")[:MAX_CLIPBOARD_BYTES]
        self._window.set_selection_owner(self._clipboard, X.CurrentTime)
        self._display.flush()

    def poll(self, *, take: bool) -> str | None:
        """Answer what programs ask; return the newest text of theirs, where there is one.

        Args:
            take: whether the clipboard may be read; what changes meanwhile is not read later.
        """
        found: str | None = None
        while self._display.pending_events():
            told = self._display.next_event()
            if told.type == X.SelectionRequest:
                self._give(told)
            elif told.type == X.SelectionNotify:
                text = self._read(told) if take else None
                # Asked of its owner then, answered by us, who own it by now: the technician's own.
                found = None if self._text else text
            elif told.type == X.SelectionClear:
                self._text = b""
            elif self._is_change(told) and take:
                self._window.convert_selection(
                    self._clipboard, self._utf8, self._answer, X.CurrentTime
                )
                self._display.flush()
        return found

    def close(self) -> None:
        """Let go of the clipboard; what the technician copied is gone with it."""
        try:
            self._display.close()
        except (ConnectionClosedError, OSError, XError):
            return  # the desktop is gone already

    def _is_change(self, told: Any) -> bool:
        return (
            # Xlib makes a class of its own for each kind of this event.
            isinstance(told, xfixes.SelectionNotify)
            and told.sub_code == xfixes.XFixesSetSelectionOwnerNotify
            and told.selection == self._clipboard
            and getattr(told.owner, "id", X.NONE) not in (X.NONE, self._window.id)
        )

    def _read(self, told: Any) -> str | None:
        if told.property == X.NONE:
            return None  # no text, or nobody has one
        units = MAX_CLIPBOARD_BYTES // 4
        found = self._window.get_full_property(self._answer, X.AnyPropertyType, units)
        self._window.delete_property(self._answer)
        if found is None or found.property_type != self._utf8 or found.format != 8:
            return None
        data = bytes(found.value)
        if len(data) > MAX_CLIPBOARD_BYTES:
            return None
        return data.decode("utf-8", "replace")

    def _give(self, asked: Any) -> None:
        """Answer a program that wants the text."""
        place = asked.property if asked.property != X.NONE else asked.target
        if asked.target == self._targets:
            asked.requestor.change_property(
                place, Xatom.ATOM, 32, [self._targets, self._utf8, Xatom.STRING]
            )
        elif asked.target == self._utf8:
            asked.requestor.change_property(place, self._utf8, 8, self._text)
        elif asked.target == Xatom.STRING:
            latin = self._text.decode().encode("latin-1", "replace")
            asked.requestor.change_property(place, Xatom.STRING, 8, latin)
        else:
            place = X.NONE
        asked.requestor.send_event(
            event.SelectionNotify(
                time=asked.time,
                requestor=asked.requestor,
                selection=asked.selection,
                target=asked.target,
                property=place,
            )
        )
        self._display.flush()
