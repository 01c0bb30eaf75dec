"""Flatpak applications and runtimes of the whole system as a patch provider.

Only the system's installation: a person's own applications are that person's to update.  Flatpak
has no security label.  What is installed is told by its commit; versions are words for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from farhand_agent.patches.flatpak_output import (
    COLUMNS,
    Application,
    classify,
    parse_applications,
    parse_masks,
)
from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.platforms.commands import Outcome, installed
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["FlatpakProvider"]

_UPDATES: Final = (
    "remote-ls", "--system", "--updates", "--all", f"--columns={','.join(COLUMNS)},commit",
)  # fmt: skip
_INSTALLED: Final = ("list", "--system", "--all", f"--columns={','.join(COLUMNS)},active")


@provider
class FlatpakProvider(StepwiseProvider):
    """flatpak, the system's installation."""

    name = "flatpak"
    scope = "applications"

    def present(self) -> bool:
        """Return whether anything is installed by flatpak for the whole system."""
        folders = ("/var/lib/flatpak/app", "/var/lib/flatpak/runtime")
        return installed("flatpak") and any(map(self._files.names, folders))

    def refresh(self) -> None:
        """Ask the remotes what they have.

        Raises:
            ProviderError: as classified by `flatpak_output.classify`.
        """
        self._offered()

    def list(self) -> PatchList:
        """Return the updates known from the remotes' cached summaries.

        A remote in a folder has no cached summary; where one is lacking the remotes are asked.

        Raises:
            ProviderError: as classified.
        """
        outcome = self._started(["flatpak", *_UPDATES, "--cached"])
        offered = (
            self._offered()
            if outcome.exit_code != 0 or _failed(outcome)
            else parse_applications(outcome.text)
        )
        present = {one.id: one.version for one in self._applications()}
        masks = parse_masks(self._asked(["flatpak", "mask", "--system"]).text)
        updates = tuple(
            Update(
                id=one.id,
                name=one.name,
                installed=present[one.id],
                available=one.version,
                arch=one.arch,
                origin=one.origin,
                held=any(fnmatchcase(part, mask) for mask in masks for part in (one.id, one.name)),
            )
            for one in offered
            if one.id in present and present[one.id] != one.version
        )
        return PatchList(
            provider=self.name,
            status="ok",
            scope=self.scope,
            reason="flatpak has no security label",
            updates=updates,
            reboot=self.reboot_state(),
            refreshed_at=self._refreshed_at(),
        )

    def reboot_state(self) -> Reboot:
        """Return that no restart is needed: applications take an update when next started."""
        return Reboot(required=False)

    def _install(self, plan: Plan) -> Outcome:
        ids = [update.id for update in plan.updates]
        return self._changing(
            ["flatpak", "update", "--system", "--assumeyes", "--noninteractive", "--", *ids]
        )

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        return {one.id: (one.version,) for one in self._applications()}

    def _offered(self) -> Sequence[Application]:
        outcome = self._asked(["flatpak", *_UPDATES], timeout_s=REFRESH_TIMEOUT_S)
        if _failed(outcome):
            raise self._refusal(outcome)
        return parse_applications(outcome.text)

    def _applications(self) -> Sequence[Application]:
        return parse_applications(self._asked(["flatpak", *_INSTALLED]).text)

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)

    def _refreshed_at(self) -> str | None:
        folder = "/var/lib/flatpak/repo/tmp/cache/summaries"
        stamps = [f"{folder}/{name}" for name in self._files.names(folder)]
        times = [at for at in map(self._files.modified_at, stamps) if at is not None]
        return format_instant(from_unix(int(max(times)))) if times else None


def _failed(outcome: Outcome) -> bool:
    # A remote that cannot be asked is left out, said on standard error, and ends with 0.
    return "error: " in outcome.error_text
