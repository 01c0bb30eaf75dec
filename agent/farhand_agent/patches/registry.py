"""Which patch providers there are: every module of this package that registers a class.

A new package manager is one new module here and its test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

import farhand_agent.patches
from farhand_agent.patches.provider import PatchProvider

__all__ = ["provider", "providers"]

P = TypeVar("P", bound=PatchProvider)

_factories: list[Callable[[], PatchProvider]] = []


def provider(factory: type[P]) -> type[P]:
    """Register a provider class that can be made without arguments."""
    _factories.append(factory)
    return factory


def providers() -> list[PatchProvider]:
    """Return one of every provider that rules this system, in the order of their module names."""
    for module in sorted(
        info.name for info in pkgutil.iter_modules(farhand_agent.patches.__path__)
    ):
        if module.endswith("_provider"):
            importlib.import_module(f"farhand_agent.patches.{module}")
    made = [factory() for factory in _factories]
    return [one for one in made if one.present()]
