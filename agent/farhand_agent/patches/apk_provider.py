"""Alpine's package manager as a patch provider.

Alpine labels its security updates nowhere that apk could read, so every kind is unknown.  Single
packages are upgraded by name and never added by version, because a version would stay behind in
/etc/apk/world as a pin.  There is no way back: Alpine's mirrors keep one version only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.apk_output import (
    classify,
    parse_installed,
    parse_pins,
    parse_upgrades,
    parse_versions,
)
from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.platforms.commands import Outcome, installed
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["ApkProvider"]

_WAIT: Final = ("--wait", "600")
_REBOOT_PREFIXES: Final = ("linux-lts", "linux-virt", "linux-edge", "linux-rpi", "musl")


@provider
class ApkProvider(StepwiseProvider):
    """apk on Alpine Linux."""

    name = "apk"

    def present(self) -> bool:
        """Return whether apk rules this system."""
        return installed("apk") and self._files.path("/lib/apk/db/installed").exists()

    def refresh(self) -> None:
        """Fetch the indexes anew.

        Raises:
            ProviderError: as classified by `apk_output.classify`.
        """
        self._asked(["apk", "update", "--no-progress"], timeout_s=REFRESH_TIMEOUT_S)

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified.
        """
        outcome = self._asked(["apk", "version", "-v", "-l", "<"])
        pins = parse_pins(self._files.text("/etc/apk/world") or "")
        updates = tuple(
            Update(
                id=name, name=name, installed=old, available=new,
                held=name in pins, requires_reboot=name.startswith(_REBOOT_PREFIXES),
            )
            for name, old, new in parse_versions(outcome.text)
        )  # fmt: skip
        return PatchList(
            provider=self.name,
            status="ok",
            reason="Alpine's indexes carry no security label",
            updates=updates,
            reboot=self.reboot_state(),
            refreshed_at=self._refreshed_at(),
        )

    def _dry_run(self, chosen: tuple[Update, ...]) -> Plan:
        names = [update.name for update in chosen]
        outcome = self._asked(["apk", "upgrade", "--simulate", "--no-progress", "--", *names])
        changes, removals = parse_upgrades(outcome.text)
        known = {update.id: update for update in chosen}
        for name, old, new in changes:
            known.setdefault(name, Update(id=name, name=name, installed=old, available=new))
        return Plan(provider=self.name, updates=tuple(known.values()), removals=tuple(removals))

    def _install(self, plan: Plan) -> Outcome:
        names = [update.name for update in plan.updates if update.installed]
        return self._changing(["apk", "upgrade", *_WAIT, "--no-progress", "--", *names])

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        versions = parse_installed(self._files.text("/lib/apk/db/installed") or "")
        return {name: (version,) for name, version in versions.items()}

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.text + outcome.error_text)

    def _refreshed_at(self) -> str | None:
        folders = ("/var/cache/apk", "/etc/apk/cache", "/var/lib/apk")
        times = [
            at
            for folder in folders
            for name in self._files.names(folder)
            if name.startswith("APKINDEX.")
            and (at := self._files.modified_at(f"{folder}/{name}")) is not None
        ]
        return format_instant(from_unix(int(max(times)))) if times else None
