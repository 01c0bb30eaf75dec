"""Python's collector of cyclic garbage, kept out of what stays for good.

While hundreds of modules are loaded and the application is built, nearly nothing becomes garbage,
yet the collector looks through all of it again and again: a sixth of a relay's start.  What was
made in the meantime is set aside (`gc.freeze`), so a running relay's collections stay short, too.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collection"]


@contextmanager
def without_collection() -> Iterator[None]:
    """Collect nothing inside the block, and never look again at what it made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
