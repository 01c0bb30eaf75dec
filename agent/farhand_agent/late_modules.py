"""Modules that the resident agent's libraries import and that it never uses: read when asked for.

Some libraries import whole modules for a function that nobody calls here: websockets has
`urllib.request` (and with it http.client and the mail package) for proxies and
`importlib.metadata` for builds of its own developers, msgspec an inspector and two file formats,
asyncio and dataclasses have `inspect` (with ast and dis) for their errors; and `shutil` (with its
compressors) waits here for the day when a recording was left.  After `leave_for_later` an import of
these gives a module that is empty until it is asked for a name (PEP 562) and is read then, whole
and once.  They would be 4 MiB of an agent that has 19.

Only for the resident agent, before its other imports.  A child lives for a moment and has no use
for it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["LATE", "is_late", "leave_for_later"]

LATE: Final = frozenset(
    {
        "calendar",
        "importlib.metadata",
        "inspect",
        "locale",
        "msgspec.inspect",
        "msgspec.toml",
        "msgspec.yaml",
        "shutil",
        "urllib.request",
    }
)
# msgspec asks for it first and takes the same from the standard library where there is none.
_ABSENT: Final = "typing_extensions"


def leave_for_later() -> None:
    """Have the modules of `LATE` read when they are first used; for the whole process."""
    sys.meta_path.insert(0, _LateFinder())


def is_late(module: ModuleType) -> bool:
    """Tell whether a module was imported and not read yet."""
    return isinstance(vars(module).get("__getattr__"), _Reader)


class _LateFinder:
    """Finds the modules of `LATE` for a `_LateLoader`, and no others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of such a module; None leaves it to the others."""
        if name == _ABSENT:
            raise ModuleNotFoundError(f"{name} is left out of this process", name=name)
        if name not in LATE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _LateLoader:
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty but for what reads it."""
        vars(module)["__getattr__"] = _Reader(module, self._loader)


class _Reader:
    """A module's `__getattr__` until it is read."""

    def __init__(self, module: ModuleType, loader: Loader) -> None:
        self._module = module
        self._loader = loader
        self._lock = threading.RLock()  # the journal's thread may ask at the same moment
        self._is_begun = False

    def __call__(self, name: str) -> Any:
        module = self._module
        with self._lock:
            if not self._is_begun:
                self._is_begun = True
                self._loader.exec_module(module)
                if is_late(module):  # else it brought a `__getattr__` of its own
                    del vars(module)["__getattr__"]
        if is_late(module):
            # It asks for what it has not defined yet, or could not be read.
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(module, name)
