"""Windows Update as a patch provider, through the Windows Update Agent's COM interface.

PowerShell runs the two scripts beside this file; what they print is read by
`windows_update_output`.  Listing uses what Windows already knows (`Online = $false`), refreshing
asks.  Installing works for administrators on the machine itself only.  An update that may ask its
user something is listed as kept back.  Removing updates is left to a person: Windows refuses it
for combined servicing stacks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.powershell import command_line, script_text, values
from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.refusals import refusal
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import APPLY_TIMEOUT_S, StepwiseProvider
from farhand_agent.patches.windows_update_output import (
    Installed,
    Search,
    classify_hresult,
    parse_installation,
    parse_search,
)
from farhand_agent.platforms.commands import Outcome

__all__ = ["WindowsUpdateProvider"]

# A search takes ten seconds to ten minutes; some machines need twice that.
_SEARCH_TIMEOUT_S: Final = 20 * 60.0


@provider
class WindowsUpdateProvider(StepwiseProvider):
    """The Windows Update Agent."""

    name = "windows-update"
    _done: Installed | None = None

    def present(self) -> bool:
        """Return whether this is Windows."""
        return sys.platform == "win32"

    def refresh(self) -> None:
        """Search online, which fills what `list` reads.

        Raises:
            ProviderError: as classified by `windows_update_output`.
        """
        self._search(online=True)

    def list(self) -> PatchList:
        """Return what Windows found when it last searched.

        Raises:
            ProviderError: `patch-unreadable`, and as classified.
        """
        found = self._search(online=False)
        return PatchList(
            provider=self.name,
            status="ok",
            updates=found.updates,
            reboot=found.reboot,
            security_labelled=True,
            refreshed_at=found.searched_at,
        )

    def reboot_state(self) -> Reboot:
        """Return what Windows says, with every reason that is written in the registry."""
        return self._search(online=False).reboot

    def _reboot_after(self, plan: Plan, outcome: Outcome) -> Reboot:
        if self._done is not None and self._done.reboot:
            return Reboot(required=True, reasons=("windows-update",))
        return self.reboot_state()

    def _install(self, plan: Plan) -> Outcome:
        wanted = []
        for update in plan.updates:
            guid, _, revision = update.id.rpartition(".")
            wanted.append({"id": guid, "revision": int(revision)})
        outcome = self._changing(
            command_line(script_text("windows_update_apply.ps1")),
            timeout_s=APPLY_TIMEOUT_S,
            env=values({"updates": wanted}),
        )
        self._done = parse_installation(outcome.text)
        if self._done.failed and not self._done.done:
            hresult = next(iter(self._done.failed.values()))
            error = classify_hresult(hresult)
            error.log_tail = json.dumps(
                {update: f"0x{code:08X}" for update, code in self._done.failed.items()}
            )
            raise error
        return outcome

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        # Until the restart a search still calls an update missing: the installer's word counts.
        done = self._done.done if self._done is not None else frozenset()
        return {update.id: (update.available,) for update in updates if update.id in done}

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return refusal(self.name, outcome.exit_code, outcome.text + outcome.error_text, ())

    def _search(self, *, online: bool) -> Search:
        # The script ends with 1 after an error that its document tells.
        outcome = self._started(
            command_line(script_text("windows_update_search.ps1")),
            timeout_s=_SEARCH_TIMEOUT_S,
            env=values({"online": online}),
        )
        return parse_search(outcome.text)
