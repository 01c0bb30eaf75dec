"""macOS's own updates as a patch provider that only reports.

On Apple silicon installing needs the password of a volume owner, which no agent should have: the
ways without a person are a management system's.  So it is reported, and the person is told.
Listing reads what macOS itself found when it last looked; refreshing asks Apple, which takes
minutes.  "No new software available." comes on standard error, with 0.
"""

from __future__ import annotations

from typing import Final

from farhand_agent.patches.provider import PatchList, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.reporting import ReportingProvider
from farhand_agent.patches.softwareupdate_output import (
    classify,
    parse_listing,
    parse_preferences,
)
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S
from farhand_agent.platforms.commands import Outcome, Runner, installed, run
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.instants import format_instant

__all__ = ["SoftwareupdateProvider"]

_PREFERENCES: Final = "/Library/Preferences/com.apple.SoftwareUpdate.plist"
_MAX_PREFERENCES_BYTES: Final = 4 * 1024 * 1024


@provider
class SoftwareupdateProvider(ReportingProvider):
    """softwareupdate on macOS."""

    name = "softwareupdate"
    why = "macOS is updated by its user or by a management system"
    instead = "System Settings, General, Software Update"

    def __init__(self, runner: Runner = run, files: SystemFiles | None = None) -> None:
        super().__init__(runner, files)
        self._found: tuple[Update, ...] | None = None

    def present(self) -> bool:
        """Return whether this is macOS."""
        return installed("softwareupdate")

    def refresh(self) -> None:
        """Ask Apple; the next `list` answers from that.

        Raises:
            ProviderError: as classified by `softwareupdate_output.classify`.
        """
        outcome = self._asked(["softwareupdate", "--list"], timeout_s=REFRESH_TIMEOUT_S)
        self._found = tuple(parse_listing(outcome.text + outcome.error_text))

    def list(self) -> PatchList:
        """Return what the last look found.

        Raises:
            ProviderError: `patch-not-refreshed` where macOS never looked, `patch-denied`,
                `patch-unreadable`.
        """
        path = self._files.path(_PREFERENCES)
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_PREFERENCES_BYTES)
        except PermissionError as error:
            raise ProviderError(
                "patch-denied", f"{_PREFERENCES} may not be read", state="denied"
            ) from error
        except OSError as error:
            if self._found is None:
                raise ProviderError(
                    "patch-not-refreshed", "macOS has not looked for updates yet"
                ) from error
            data = b""
        known, at = parse_preferences(data) if data else ([], None)
        return PatchList(
            provider=self.name,
            status="ok",
            updates=self._found if self._found is not None else tuple(known),
            reboot=self.reboot_state(),
            security_labelled=True,
            refreshed_at=format_instant(at) if at else None,
        )

    def reboot_state(self) -> Reboot:
        """Return unknown: macOS tells nobody that a restart is pending."""
        return Reboot(required=None)

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)
