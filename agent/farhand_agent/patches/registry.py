"""Which patch providers there are: every module of this package that registers a class.

A new package manager is one new `NAME_provider.py` here, its `NAME_output.py`, and their tests.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

import farhand_agent.patches
from farhand_agent.patches.provider import PatchProvider

__all__ = ["every_provider", "provider", "providers"]

P = TypeVar("P", bound=PatchProvider)

_factories: list[Callable[[], PatchProvider]] = []


def provider(factory: type[P]) -> type[P]:
    """Register a provider class that can be made without arguments."""
    _factories.append(factory)
    return factory


def every_provider() -> list[PatchProvider]:
    """Return one of every provider, in the order of their module names."""
    for module in sorted(
        info.name for info in pkgutil.iter_modules(farhand_agent.patches.__path__)
    ):
        if module.endswith("_provider"):
            importlib.import_module(f"farhand_agent.patches.{module}")
    return [factory() for factory in _factories]


def providers() -> list[PatchProvider]:
    """Return one of every provider that rules this system, in the order of their module names."""
    return [one for one in every_provider() if one.present()]
