"""Thresholds of checks that contradict each other, seen before they are signed.

A device answers such a check with `unknown` for as long as the policy holds.  What the shipped
scripts say of a check's thresholds decides, as far as they know the check and the threshold; the
rest is left to the device, which may be newer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from farhand_console.library.catalogue import read_script

__all__ = ["contradictions", "threshold_names"]

_ID: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_WARNING: Final = "warning_"
_CRITICAL: Final = "critical_"


def threshold_names(check_id: str) -> Mapping[str, tuple[float, float]]:
    """Return a check's thresholds by name, each with its usual (warning, critical).

    {} for a check that is not known here, and for one that has none.
    """
    properties = _properties(check_id)
    return {
        name.removeprefix(_WARNING): (one["default"], properties[critical]["default"])
        for name, one in properties.items()
        if name.startswith(_WARNING)
        and (critical := _CRITICAL + name.removeprefix(_WARNING)) in properties
    }


def contradictions(check_id: str, parameters: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each threshold that a device will refuse.

    Args:
        check_id: of the check, without `check.`.
        parameters: as a schedule or an order gives them; what is missing is as usual.
    """
    sentences = []
    for name, (warning, critical) in threshold_names(check_id).items():
        given = [parameters.get(level + name) for level in (_WARNING, _CRITICAL)]
        if given == [None, None]:
            continue
        first = warning if given[0] is None else given[0]
        then = critical if given[1] is None else given[1]
        if not all(isinstance(one, int | float) for one in (first, then)):
            sentences.append(f"{check_id}: the thresholds of {name} are not numbers")
        # Where more is worse the usual critical threshold lies above the warning.
        elif (first > then) if critical >= warning else (first < then):
            sentences.append(
                f"{check_id}: {_WARNING}{name} {first:g} lies beyond {_CRITICAL}{name} {then:g}"
            )
    return sentences


def _properties(check_id: str) -> Mapping[str, Any]:
    folder = resources.files(__package__) / f"check.{check_id}"
    if not _ID.fullmatch(check_id) or not folder.joinpath("manifest.toml").is_file():
        return {}
    found: dict[str, Any] = read_script(folder).parameters.get("properties", {})
    return found
