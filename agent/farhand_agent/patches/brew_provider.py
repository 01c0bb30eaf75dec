"""Homebrew as a patch provider.

brew refuses root and belongs to one user: it is run as the owner of its folder, through sudo where
this process is root.  It updates itself before nearly everything unless it is told not to.  There
is neither a security label nor a way back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.brew_output import classify, parse_installed, parse_outdated
from farhand_agent.patches.provider import PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import LIST_TIMEOUT_S, REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.platforms.commands import Outcome

if sys.platform != "win32":
    import os
    import pwd

__all__ = ["BrewProvider"]

_PREFIXES: Final = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
# Each call does just what it says, and sends nothing to anybody.
_ENVIRONMENT: Final = {
    "HOMEBREW_NO_AUTO_UPDATE": "1",
    "HOMEBREW_NO_ANALYTICS": "1",
    "HOMEBREW_NO_ENV_HINTS": "1",
    "HOMEBREW_NO_INSTALL_CLEANUP": "1",
    "HOMEBREW_NO_COLOR": "1",
    "HOMEBREW_NO_EMOJI": "1",
    "NONINTERACTIVE": "1",
}


@provider
class BrewProvider(StepwiseProvider):
    """brew, as the user to whom it belongs."""

    name = "brew"
    scope = "applications"

    def present(self) -> bool:
        """Return whether there is a Homebrew folder."""
        return self._program() is not None

    def refresh(self) -> None:
        """Fetch the formulae anew.

        Raises:
            ProviderError: as classified by `brew_output.classify`.
        """
        self._brew(["update", "--quiet"], timeout_s=REFRESH_TIMEOUT_S)

    def list(self) -> PatchList:
        """Return the updates known from the formulae at hand.

        Raises:
            ProviderError: `patch-unreadable`, and as classified.
        """
        return PatchList(
            provider=self.name,
            status="ok",
            scope=self.scope,
            reason="Homebrew has no security label",
            updates=tuple(parse_outdated(self._brew(["outdated", "--json=v2"]).text)),
            reboot=self.reboot_state(),
        )

    def reboot_state(self) -> Reboot:
        """Return that no restart is needed: nothing of brew's belongs to the system."""
        return Reboot(required=False)

    def _install(self, plan: Plan) -> Outcome:
        text, errors, worst = b"", b"", 0
        for kind in ("formula", "cask"):
            names = [u.name for u in plan.updates if u.id.startswith(f"{kind}:")]
            if names:
                outcome = self._changing(self._argv(["upgrade", f"--{kind}", "--", *names]))
                text, errors = text + outcome.stdout, errors + outcome.stderr
                worst = worst or outcome.exit_code
        return Outcome(worst, text, errors)

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        return parse_installed(self._brew(["info", "--json=v2", "--installed"]).text)

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)

    def _brew(self, arguments: Sequence[str], *, timeout_s: float = LIST_TIMEOUT_S) -> Outcome:
        return self._asked(self._argv(arguments), timeout_s=timeout_s)

    def _program(self) -> str | None:
        programs = (f"{prefix}/bin/brew" for prefix in _PREFIXES)
        return next((one for one in programs if self._files.path(one).is_file()), None)

    def _argv(self, arguments: Sequence[str]) -> Sequence[str]:
        program = self._program()
        if program is None:
            raise ProviderError("patch-failed", "there is no brew here", state="unsupported")
        owner = self._files.path(program).stat().st_uid  # through the link in bin
        variables = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        if owner == 0:
            raise ProviderError(
                "patch-denied", "brew's folder belongs to root, and brew refuses root",
                state="denied",
            )  # fmt: skip
        try:
            name, home, is_me = _account(owner)
        except KeyError as error:
            raise ProviderError(
                "patch-denied", f"brew's folder belongs to nobody known: {owner}", state="denied"
            ) from error
        if is_me:
            return ["env", *variables, f"HOME={home}", program, *arguments]
        # Anyone but root would be asked for a password here; -n makes that an answer.
        become = ["sudo", "-n", "-H", "-u", name, "--"]
        return [*become, "env", *variables, program, *arguments]


if sys.platform == "win32":

    def _account(owner: int) -> tuple[str, str, bool]:
        raise KeyError(owner)
else:

    def _account(owner: int) -> tuple[str, str, bool]:
        """Return a user's name and home, and whether this process is theirs."""
        user = pwd.getpwuid(owner)
        return user.pw_name, user.pw_dir, os.geteuid() == owner
