"""Whether a device is ready for a change to its packages: power, room, locks, a restart.

Looked at before the first package is touched, because what goes wrong halfway (a battery that
ends, a full disk) leaves a device worse than it was.  What cannot be found out (no battery, no
such file, no right to read it) stands in nobody's way: the package manager judges for itself.

| obstacle | code | parameter |
|---|---|---|
| it runs on battery, and the battery is low | `patch-on-battery` | `battery_percent` |
| less room than that on `/`, `/usr` or `/var` | `patch-disk-full` | `free_mib` |
| less room than that on `/boot`, where a restart follows | `patch-disk-full` | `boot_free_mib` |
| another package manager at work, even after that many seconds | `patch-locked` | `lock_wait_s` |
| a restart is due | `patch-reboot-first` | `reboot_first` |

0 or false looks at nothing, but for the lock: with 0 a package manager at work is not waited for
and is an obstacle at once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from farhand_agent.patches.locks import lock_holder
from farhand_agent.patches.power import Power, power_state
from farhand_agent.patches.provider import Plan, ProviderError, Reboot
from farhand_agent.platforms.files import SystemFiles

__all__ = ["Limits", "Readiness"]

_MIB: Final = 1024 * 1024
_POLL_S: Final = 1.0
_KINDS: Final = {int: "whole number from 0 on", bool: "true or false"}
_PLACES: Final = ("/", "/usr", "/var")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a device must have before its packages change; the fields are the parameters.

    Attributes:
        battery_percent: least charge while it runs on battery.
        free_mib: least room on the file systems that packages lie on, beside what comes in.
        boot_free_mib: least room on `/boot`, for updates that ask for a restart.
        lock_wait_s: how long to wait for another package manager; 0 refuses at once.
        reboot_first: whether a restart that is due has to come first.
    """

    battery_percent: int = 30
    free_mib: int = 500
    boot_free_mib: int = 64
    lock_wait_s: int = 300
    reboot_first: bool = False

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any]) -> Limits:
        """Return the limits that parameters of a script name, the rest as usual.

        Raises:
            ProviderError: `patch-parameters` for one that is not of its kind.
        """
        usual = cls()
        chosen: dict[str, Any] = {}
        for one in fields(cls):
            if one.name not in given:
                continue
            value, like = given[one.name], getattr(usual, one.name)
            if type(value) is not type(like) or value < 0:
                raise ProviderError("patch-parameters", f"{one.name} is no {_KINDS[type(like)]}")
            chosen[one.name] = value
        return cls(**chosen)


class Readiness:
    """Looks at one device.

    Args:
        limits: what it must have.
        files: where the system's files lie.
        power: tells how it is powered; None where nobody knows.
        free_bytes: tells the room of the file system that a path lies on.
        pause: waits some seconds.
        now: tells seconds that only grow.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        files: SystemFiles | None = None,
        power: Callable[[], Power | None] = power_state,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._files = files or SystemFiles()
        self._power = power
        self._free_bytes = free_bytes
        self._pause = pause
        self._now = now

    def require(self, plan: Plan, reboot: Reboot) -> None:
        """Make sure that the packages of a plan may change now; waits for a lock.

        Args:
            plan: what would be done.
            reboot: whether a restart is due.

        Raises:
            ProviderError: the first obstacle, with all others in its hint.
        """
        deadline = self._now() + self._limits.lock_wait_s
        while self._locked() and self._now() < deadline:
            self._pause(_POLL_S)
        found = self.obstacles(plan, reboot)
        if found:
            more = "; ".join(f"{one.code}: {one.message}" for one in found[1:])
            found[0].hint = f"besides {more}" if more else found[0].hint
            raise found[0]

    def obstacles(self, plan: Plan, reboot: Reboot) -> list[ProviderError]:
        """Return everything that would keep a plan from being carried out now."""
        looked = (
            self._on_battery(),
            *self._without_room(plan),
            self._locked(),
            self._restart_due(reboot),
        )
        return [one for one in looked if one is not None]

    def _on_battery(self) -> ProviderError | None:
        least = self._limits.battery_percent
        power = self._power() if least else None
        if power is None or power.plugged_in or power.percent is None or power.percent >= least:
            return None
        return ProviderError(
            "patch-on-battery",
            f"it runs on battery with {power.percent} %, {least} % are asked for",
            hint="plug it in",
            retryable=True,
        )

    def _without_room(self, plan: Plan) -> list[ProviderError]:
        comes = sum(update.size_bytes or 0 for update in plan.updates)
        wanted: dict[str, int] = {}
        if self._limits.free_mib:
            wanted |= dict.fromkeys(_PLACES, self._limits.free_mib * _MIB + comes)
        if any(update.requires_reboot for update in plan.updates):
            wanted["/boot"] = self._limits.boot_free_mib * _MIB
        seen: dict[int, tuple[str, int, int]] = {}
        for name, least in wanted.items():
            path = self._files.path(name)
            try:
                # Of the places on one file system the first tells for all.
                device, free = path.stat().st_dev, self._free_bytes(path)
            except OSError:
                continue  # no such place here, or none that this user may look at
            if free < least:
                seen.setdefault(device, (name, free, least))
        return [
            ProviderError(
                "patch-disk-full",
                f"{name} has {free // _MIB} MiB left, {least // _MIB} MiB are asked for",
                hint="make room",
            )
            for name, free, least in seen.values()
        ]

    def _locked(self) -> ProviderError | None:
        holder = lock_holder(self._files)
        if holder is None:
            return None
        return ProviderError(
            "patch-locked",
            f"another package manager is at work: {holder}",
            state="locked",
            retryable=True,
        )

    def _restart_due(self, reboot: Reboot) -> ProviderError | None:
        if not self._limits.reboot_first or not reboot.required:
            return None
        reasons = ", ".join(reboot.reasons[:5]) or "for reasons that nobody wrote down"
        return ProviderError(
            "patch-reboot-first", f"it waits for a restart: {reasons}", hint="restart the device"
        )
