"""Arch Linux's package manager as a patch provider.

Its rules make this provider's: Arch supports no partial upgrades, so a plan is all or nothing and
indexes are never fetched into the system's own database without upgrading (`-Sy` without `-u`).
Refreshing therefore fills a private database, as `checkupdates` does.  `pacman -Qu` ends with 1
where there is nothing to update, as it does for errors.  Arch labels no security updates.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from farhand_agent.patches.pacman_output import (
    classify,
    parse_plan,
    parse_updates,
    parse_versions,
)
from farhand_agent.patches.places import state_folder
from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.platforms.commands import Outcome, Runner, installed, run
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["PacmanProvider"]

_DATABASE: Final = "/var/lib/pacman"
_CACHE: Final = "/var/cache/pacman/pkg"
_REBOOT_NAMES: Final = frozenset(
    ["linux", "linux-lts", "linux-zen", "linux-hardened", "linux-firmware", "systemd", "glibc",
     "amd-ucode", "intel-ucode"]
)  # fmt: skip


@provider
class PacmanProvider(StepwiseProvider):
    """pacman on Arch Linux and its kin.

    Args:
        private: folder of the private database; below `state_folder()` by default.
    """

    name = "pacman"

    def __init__(
        self,
        runner: Runner = run,
        files: SystemFiles | None = None,
        *,
        options: Mapping[str, Sequence[str]] | None = None,
        env: Mapping[str, str] | None = None,
        private: Path | None = None,
    ) -> None:
        super().__init__(runner, files, options=options, env=env)
        self._private = private or state_folder() / "pacman"

    def present(self) -> bool:
        """Return whether pacman rules this system; one without a single package rules none."""
        packages = set(self._files.names(f"{_DATABASE}/local")) - {"ALPM_DB_VERSION"}
        return installed("pacman") and bool(packages)

    def refresh(self) -> None:
        """Fetch the indexes into the private database.

        Raises:
            ProviderError: as classified by `pacman_output.classify`.
        """
        try:
            self._private.mkdir(parents=True, exist_ok=True, mode=0o700)
            local = self._private / "local"
            if not local.is_symlink():
                local.symlink_to(self._files.path(f"{_DATABASE}/local"))
        except OSError as error:
            raise ProviderError(
                "patch-denied", f"{self._private} cannot be used", detail=str(error),
                state="denied",
            ) from error  # fmt: skip
        self._asked(
            ["pacman", "-Sy", *self._known(), "--logfile", os.devnull, "--noprogressbar"],
            timeout_s=REFRESH_TIMEOUT_S,
        )

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified.
        """
        outcome = self._started(["pacman", "-Qu", *self._known()])
        # 1 stands for "nothing to update" and for every error; only its words tell them apart.
        if outcome.exit_code != 0:
            error = self._refusal(outcome)
            if "error:" in outcome.error_text or error.code == "patch-not-refreshed":
                raise error
        updates = tuple(
            Update(
                id=one.name,
                name=one.name,
                installed=one.installed,
                available=one.available,
                held=one.ignored,
                requires_reboot=one.name in _REBOOT_NAMES,
            )
            for one in parse_updates(outcome.text)
        )
        return PatchList(
            provider=self.name,
            status="ok",
            reason="Arch labels no security updates",
            updates=updates,
            reboot=self.reboot_state(),
            refreshed_at=self._refreshed_at(),
        )

    def plan(self, ids: Sequence[str] | None, *, security_only: bool = False) -> Plan:
        """Return the plan of a whole upgrade.

        Raises:
            ProviderError: `patch-all-or-nothing` for a part of it, and as classified.
        """
        every = {update.id for update in self.list().updates if not update.held}
        if ids is not None and not every <= set(ids):
            raise ProviderError(
                "patch-all-or-nothing", "Arch supports no upgrade of some packages only"
            )
        return super().plan(ids, security_only=security_only)

    def reboot_state(self) -> Reboot:
        """Return whether the running kernel's modules are gone, or a newer kernel is there."""
        kernels = self._files.names("/usr/lib/modules")
        running = platform.release()
        if kernels and running not in kernels:
            reason = f"the modules of the running kernel {running} are gone"
            return Reboot(required=True, reasons=(reason,))
        return super().reboot_state()

    def _dry_run(self, chosen: tuple[Update, ...]) -> Plan:
        outcome = self._asked(["pacman", "-Sup", *self._known(), "--print-format", "%n %v %r"])
        known = {update.id: update for update in chosen}
        for name, version, repository in parse_plan(outcome.text):
            known.setdefault(
                name, Update(id=name, name=name, installed="", available=version, origin=repository)
            )
        return Plan(provider=self.name, updates=tuple(known.values()))

    def _install(self, plan: Plan) -> Outcome:
        outcome = self._changing(["pacman", "-Syu", "--noconfirm", "--noprogressbar"])
        # That fetched the system's own indexes anew; the private ones are the older ones now.
        (self._private / "local").unlink(missing_ok=True)
        return outcome

    def _downgrade(self, plan: Plan) -> Outcome:
        files = []
        for update in plan.updates:
            start = f"{update.name}-{update.available}-"
            found = [
                name for name in self._files.names(_CACHE)
                if name.startswith(start) and ".pkg.tar" in name and not name.endswith(".sig")
            ]  # fmt: skip
            if not found:
                raise ProviderError(
                    "patch-no-rollback",
                    f"pacman's cache has no {update.name} {update.available}"[:300],
                )
            files.append(str(self._files.path(f"{_CACHE}/{found[0]}")))
        return self._changing(["pacman", "-U", "--noconfirm", "--noprogressbar", "--", *files])

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        versions = parse_versions(self._asked(["pacman", "-Q"]).text)
        return {name: (version,) for name, version in versions.items()}

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)

    def _known(self) -> tuple[str, ...]:
        """Return the options that name the private database, once it was filled."""
        return ("--dbpath", str(self._private)) if (self._private / "local").is_symlink() else ()

    def _refreshed_at(self) -> str | None:
        folders = [self._private / "sync", self._files.path(f"{_DATABASE}/sync")]
        times = [
            file.stat().st_mtime
            for folder in folders
            if folder.is_dir()
            for file in folder.glob("*.db")
        ]
        return format_instant(from_unix(int(max(times)))) if times else None
