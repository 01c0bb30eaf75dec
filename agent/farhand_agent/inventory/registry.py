"""Which sections there are: every module in `collectors` that registers a function.

Adding a section is one new module there and its test.  A collector takes a `Context` and returns
items (objects of JSON values, units in their names); it raises `Unsupported` or `Denied`, lets
`PermissionError` and the command errors through, and never returns [] for "could not look".
Facts that change by the minute (free space, load, uptime) belong into a section registered as
volatile, so that the others keep their hash.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import farhand_agent.inventory.collectors
from farhand_agent.inventory.context import Context
from farhand_protocol.inventory import SECTION_NAME

__all__ = ["Collect", "Section", "section", "sections"]

Collect = Callable[[Context], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Section:
    """One registered section.

    Attributes:
        name: as it is reported.
        collect: the collector.
        platforms: where it can work; elsewhere the runner answers `unsupported`.
        timeout_s: seconds until the runner answers `timeout`.
        personal: keys whose values say something about a person; policy may withhold them.
        volatile: whether its facts change by the minute.
    """

    name: str
    collect: Collect
    platforms: tuple[str, ...]
    timeout_s: float
    personal: tuple[str, ...]
    volatile: bool


_registered: dict[str, Section] = {}


def section(
    name: str,
    *,
    platforms: Iterable[str] = ("linux",),
    timeout_s: float = 20.0,
    personal: Iterable[str] = (),
    volatile: bool = False,
) -> Callable[[Collect], Collect]:
    """Register the decorated function as the collector of a section."""
    if not SECTION_NAME.fullmatch(name) or name in _registered:
        raise ValueError(f"section name {name!r} is not allowed or taken")

    def register(collect: Collect) -> Collect:
        _registered[name] = Section(
            name, collect, tuple(platforms), timeout_s, tuple(personal), volatile
        )
        return collect

    return register


def sections() -> dict[str, Section]:
    """Return all sections by name, sorted, after importing every collector module."""
    package = farhand_agent.inventory.collectors
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")
    return dict(sorted(_registered.items()))
