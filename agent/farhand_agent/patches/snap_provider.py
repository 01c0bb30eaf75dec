"""Snaps as a patch provider.

snapd is started by whoever speaks to its socket, and a device without snaps should not have it
started by being looked at; so what is asked of the file system first is whether there are snaps
and whether snapd runs.  Listing asks snapd, and snapd asks the store.  There is no security
label.  `snap revert` is the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.snap_output import Snap, classify, parse_snaps
from farhand_agent.patches.stepwise import StepwiseProvider
from farhand_agent.platforms.commands import Outcome, installed

__all__ = ["SnapProvider"]

_SNAPS: Final = "/var/lib/snapd/snaps"
_REBOOT_NAMES: Final = ("core", "pc-kernel", "pc")


@provider
class SnapProvider(StepwiseProvider):
    """snap, asked only where snapd runs anyway."""

    name = "snap"
    scope = "applications"

    def present(self) -> bool:
        """Return whether any snap is installed."""
        return installed("snap") and any(
            name.endswith(".snap") for name in self._files.names(_SNAPS)
        )

    def refresh(self) -> None:
        """Do nothing: snapd keeps no index, `list` asks it each time."""

    def list(self) -> PatchList:
        """Return what snapd would refresh.

        Raises:
            ProviderError: `patch-failed` with state unsupported where snapd does not run, and as
                classified.
        """
        self._needs_snapd()
        offered = parse_snaps(self._asked(["snap", "refresh", "--list"]).text)
        present = {snap.name: snap for snap in self._snaps()}
        updates = tuple(
            Update(
                id=one.name,
                name=one.name,
                installed=present[one.name].version if one.name in present else "",
                available=one.version,
                origin="snap store",
                held="held" in (present[one.name].notes if one.name in present else one.notes),
                requires_reboot=one.name in _REBOOT_NAMES or bool({"kernel", "base"} & one.notes),
                size_bytes=one.size_bytes,
            )
            for one in offered
        )
        return PatchList(
            provider=self.name,
            status="ok",
            scope=self.scope,
            reason="snaps have no security label",
            updates=updates,
            reboot=self.reboot_state(),
        )

    def reboot_state(self) -> Reboot:
        """Return unknown: snapd tells it in the output of the refresh that asks for it only."""
        return Reboot(required=None)

    def _reboot_after(self, plan: Plan, outcome: Outcome) -> Reboot:
        asked = "restart" in outcome.text and "system" in outcome.text
        reasons = tuple(update.name for update in plan.updates if update.requires_reboot)
        return (
            Reboot(required=True, reasons=reasons or ("snapd",)) if asked else Reboot(required=None)
        )

    def _install(self, plan: Plan) -> Outcome:
        names = [update.name for update in plan.updates]
        return self._changing(["snap", "refresh", "--color=never", "--unicode=never", *names])

    def _downgrade(self, plan: Plan) -> Outcome:
        text, errors, worst = b"", b"", 0
        for update in plan.updates:
            outcome = self._changing(["snap", "revert", update.name])
            text, errors = text + outcome.stdout, errors + outcome.stderr
            worst = worst or outcome.exit_code
        return Outcome(worst, text, errors)

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        return {snap.name: (snap.version,) for snap in self._snaps()}

    def _snaps(self) -> Sequence[Snap]:
        return parse_snaps(self._asked(["snap", "list", "--color=never", "--unicode=never"]).text)

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)

    def _needs_snapd(self) -> None:
        # Asking systemd starts nothing; speaking to snapd's socket would.
        active = self._started(["systemctl", "is-active", "snapd.service"])
        if active.text.strip() != "active":
            raise ProviderError(
                "patch-failed", "snapd does not run, and asking it would start it",
                state="unsupported",
            )  # fmt: skip
