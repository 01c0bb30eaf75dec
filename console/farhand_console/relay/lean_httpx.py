"""httpx without its command line.

httpx brings a command of its own, loads rich and pygments for it where they are installed (they
are), and leaves it out where one is missing.  Nobody calls it here, and every short `farhand`
command would wait for it: a third of its start.  To Python, None among the modules is a missing
one.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402 - that is the point

__all__ = ["httpx"]
