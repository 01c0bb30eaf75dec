"""Which sections there are here: every module in this platform's folder of `collectors`.

Adding a section is one new module named after it in `collectors/PLATFORM/`, its line in
`catalogue.py`, its table in docs/inventory.md and its test.  A collector takes a `Context` and
returns items (objects of JSON values, units in their names); it raises `Unsupported` or `Denied`,
lets `PermissionError` and the command errors through, and never returns [] for "could not look".
Facts that change by the minute (free space, load, uptime) belong into a section registered as
volatile, so that the others keep their hash.  A section that is `opt_in` says so much about people
that it is collected only where policy or the caller names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import farhand_agent.inventory.collectors
from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.platforms.current import platform_name
from farhand_protocol.inventory import SECTION_NAME

__all__ = ["PLATFORMS", "Collect", "Section", "section", "sections"]

Collect = Callable[[Context], list[dict[str, Any]]]

PLATFORMS: Final = ("linux", "windows", "macos")


@dataclass(frozen=True, slots=True)
class Section:
    """One registered section of one platform.

    Attributes:
        name: as it is reported.
        platform: where it can work; elsewhere the runner answers `unsupported`.
        collect: the collector.
        timeout_s: seconds until the runner answers `timeout`.
        personal: keys whose values say something about a person; policy may withhold them.
        volatile: whether its facts change by the minute.
        opt_in: whether it is collected only when it is named.
    """

    name: str
    platform: str
    collect: Collect
    timeout_s: float = 20.0
    personal: tuple[str, ...] = ()
    volatile: bool = False
    opt_in: bool = False


_registered: dict[tuple[str, str], Section] = {}


def section(
    name: str,
    *,
    platform: str,
    timeout_s: float = 20.0,
    personal: Iterable[str] = (),
    volatile: bool = False,
    opt_in: bool = False,
) -> Callable[[Collect], Collect]:
    """Register the decorated function as the collector of a section on one platform.

    Raises:
        ValueError: the catalogue has no such section, it is taken, or there is no such platform.
    """
    if not SECTION_NAME.fullmatch(name) or name not in CATALOGUE:
        raise ValueError(f"section name {name!r} is not in the catalogue")
    if platform not in PLATFORMS:
        raise ValueError(f"there is no platform {platform!r}")
    if (name, platform) in _registered:
        raise ValueError(f"section {name!r} of {platform} is taken")

    def register(collect: Collect) -> Collect:
        _registered[name, platform] = Section(
            name, platform, collect, timeout_s, tuple(personal), volatile, opt_in
        )
        return collect

    return register


def sections(platform: str | None = None, names: Iterable[str] | None = None) -> dict[str, Section]:
    """Return sections by name, sorted, for one platform; only their modules are imported.

    Args:
        platform: None for this one.  A section that has no collector there gets one that answers
            `unsupported`.
        names: which ones; None for the whole catalogue.  Unknown ones are left out.
    """
    where = platform or platform_name()
    wanted = CATALOGUE.keys() if names is None else CATALOGUE.keys() & set(names)
    if where in PLATFORMS:
        package = f"{farhand_agent.inventory.collectors.__name__}.{where}"
        folder = importlib.import_module(package)
        for info in pkgutil.iter_modules(folder.__path__):
            if info.name in wanted:
                importlib.import_module(f"{package}.{info.name}")
    return {
        name: _registered.get((name, where)) or Section(name, where, _not_here(where))
        for name in sorted(wanted)
    }


def _not_here(platform: str) -> Collect:
    def collect(context: Context) -> list[dict[str, Any]]:
        raise Unsupported(f"not collected on {platform}")

    return collect
