"""Windows' applications by winget as a patch provider.

winget itself prints no JSON; its PowerShell module lists, winget upgrades.  Applications that
were installed for one user only are invisible to the system account, under which the agent runs.
There is no security label and no way back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.powershell import command_line, script_text, values
from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.refusals import refusal
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.patches.winget_output import (
    REBOOT_CODES,
    Upgraded,
    classify,
    parse_packages,
    parse_upgrades,
)
from farhand_agent.platforms.commands import Outcome

__all__ = ["WingetProvider"]

_DONE: Final = frozenset([0]) | REBOOT_CODES


@provider
class WingetProvider(StepwiseProvider):
    """winget and its PowerShell module."""

    name = "winget"
    scope = "applications"
    _results: Sequence[Upgraded] = ()

    def present(self) -> bool:
        """Return whether this is Windows."""
        return sys.platform == "win32"

    def refresh(self) -> None:
        """Do nothing: winget brings its sources up to date when it lists."""

    def list(self) -> PatchList:
        """Return the packages with a newer version.

        Raises:
            ProviderError: `patch-unreadable`, and as classified; with state unsupported where the
                module is not installed.
        """
        outcome = self._started(
            command_line(script_text("winget_list.ps1")),
            timeout_s=REFRESH_TIMEOUT_S,
            env=values({}),
        )
        return PatchList(
            provider=self.name,
            status="ok",
            scope=self.scope,
            reason="winget has no security label",
            updates=tuple(parse_packages(outcome.text)),
            reboot=self.reboot_state(),
        )

    def reboot_state(self) -> Reboot:
        """Return unknown: Windows Update's provider tells it for the whole system."""
        return Reboot(required=None)

    def _reboot_after(self, plan: Plan, outcome: Outcome) -> Reboot:
        waiting = tuple(one.id for one in self._results if one.code in REBOOT_CODES)
        return Reboot(required=True, reasons=waiting) if waiting else self.reboot_state()

    def _install(self, plan: Plan) -> Outcome:
        wanted = [{"id": update.id, "version": update.available} for update in plan.updates]
        outcome = self._changing(
            command_line(script_text("winget_apply.ps1")), env=values({"packages": wanted})
        )
        self._results = parse_upgrades(outcome.text)
        failed = [one for one in self._results if one.code not in _DONE]
        if failed and len(failed) == len(self._results):
            error = classify(failed[0].code, failed[0].words)
            error.log_tail = outcome.text
            raise error
        return outcome

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        done = {one.id for one in self._results if one.code in _DONE}
        return {update.id: (update.available,) for update in updates if update.id in done}

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return refusal(self.name, outcome.exit_code, outcome.text + outcome.error_text, ())
