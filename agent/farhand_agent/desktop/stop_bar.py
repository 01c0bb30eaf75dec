"""`python -m farhand_agent.desktop.stop_bar`: a small window on top of all others, with STOP on it.

A process of its own, so that nothing of the page waits for a window and nothing of the window for
the page.  stdin carries lines of JSON with ready words, stdout a line `stop` for each press:

    {"title", "who", "since", "scopes": [...], "stop", "stopping"}      shown, or shown anew
    end of input                                                        the window goes

It knows nothing of sessions; without tkinter or a display it ends with status 3.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from typing import Any, Final

__all__ = ["NO_DISPLAY", "main"]

NO_DISPLAY: Final = 3
_MAX_LINE_CHARS: Final = 16 * 1024
_LOOK_MS: Final = 100
_RED: Final = "#a40e26"


class _Bar:
    """The window.

    Args:
        tk: the tkinter module.
    """

    def __init__(self, tk: Any) -> None:
        self._news: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._shown: dict[str, Any] = {}
        root = self._root = tk.Tk(className="farhand-stop")
        root.withdraw()
        root.resizable(False, False)
        root.attributes("-topmost", True)
        # It goes when the session does; until then nobody closes it by mistake.
        root.protocol("WM_DELETE_WINDOW", lambda: None)
        frame = tk.Frame(root, padx=12, pady=8)
        frame.pack()
        self._who = tk.Label(frame, font=("TkDefaultFont", 12, "bold"), wraplength=360)
        self._since = tk.Label(frame, wraplength=360)
        self._scopes = tk.Label(frame, wraplength=360, justify="left")
        self._button = tk.Button(
            frame, bg=_RED, fg="white", activebackground=_RED, activeforeground="white",
            font=("TkDefaultFont", 16, "bold"), padx=24, pady=8, command=self._pressed,
        )  # fmt: skip
        for one in (self._who, self._since, self._scopes, self._button):
            one.pack(pady=3)
        root.bind("<Return>", lambda _: self._pressed())
        self._button.focus_set()

    def run(self) -> None:
        """Show what comes until there is no more."""
        threading.Thread(target=self._read, daemon=True).start()
        self._root.after(_LOOK_MS, self._look)
        self._root.mainloop()

    def _read(self) -> None:
        while line := sys.stdin.readline(_MAX_LINE_CHARS):
            try:
                fields = json.loads(line)
            except ValueError:
                break  # what is not ours to read ends the window
            self._news.put(fields)
        self._news.put(None)

    def _look(self) -> None:
        while not self._news.empty():
            fields = self._news.get()
            if fields is None:
                self._root.destroy()
                return
            self._show(fields)
        self._root.after(_LOOK_MS, self._look)

    def _show(self, fields: dict[str, Any]) -> None:
        is_new = not self._shown
        self._shown = fields
        self._root.title(str(fields["title"]))
        self._who["text"] = str(fields["who"])
        self._since["text"] = str(fields["since"])
        self._scopes["text"] = "\n".join(str(one) for one in fields["scopes"])
        self._button["text"] = str(fields["stop"])
        if is_new:
            self._root.update_idletasks()
            left = max(0, self._root.winfo_screenwidth() - self._root.winfo_reqwidth() - 24)
            self._root.geometry(f"+{left}+24")
            self._root.deiconify()
            self._root.lift()

    def _pressed(self) -> None:
        self._button["text"] = str(self._shown.get("stopping", ""))
        self._button["state"] = "disabled"
        sys.stdout.write("stop\n")
        sys.stdout.flush()


def main() -> int:
    """Show the bar until the input ends."""
    try:
        # Late, because it is not there on every machine.
        import tkinter
    except ImportError:
        return NO_DISPLAY
    try:
        bar = _Bar(tkinter)
    except tkinter.TclError:
        return NO_DISPLAY
    bar.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
