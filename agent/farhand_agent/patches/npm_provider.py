"""Global npm packages, or those of one project, reported only.

Asked only when named: each question tells a registry what is installed here.  npm audits projects
and no global packages, so only a project's have a security label.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from farhand_agent.patches.npm_output import (
    Vulnerable,
    classify,
    parse_audit,
    parse_outdated,
)
from farhand_agent.patches.provider import PatchList, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.reporting import ReportingProvider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S
from farhand_agent.platforms.commands import Outcome, Runner, installed, run
from farhand_agent.platforms.files import SystemFiles

__all__ = ["NpmProvider"]

_QUIET: Final = {
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    "NPM_CONFIG_FUND": "false",
    "NPM_CONFIG_COLOR": "false",
    "NPM_CONFIG_LOGS_MAX": "0",
}
_FINDINGS: Final = frozenset([0, 1])


@provider
class NpmProvider(ReportingProvider):
    """npm.

    Args:
        project: a folder with package.json and its lock; None for the global packages.
    """

    name = "npm"
    scope = "languages"
    by_default = False
    why = "npm's packages are for whoever uses them to update"
    instead = "npm install -g NAME, or an update of the project"

    def __init__(
        self,
        runner: Runner = run,
        files: SystemFiles | None = None,
        *,
        project: Path | None = None,
    ) -> None:
        super().__init__(runner, files, env=_QUIET)
        self._project = project

    def present(self) -> bool:
        """Return whether npm is installed."""
        return installed("npm")

    def refresh(self) -> None:
        """Do nothing: npm keeps no index, `list` asks the registry it is set to each time."""

    def list(self) -> PatchList:
        """Return what the registry has newer.

        Raises:
            ProviderError: `patch-unreadable`, and as classified.
        """
        # npm makes its cache in HOME, which is the root folder here.
        with TemporaryDirectory(prefix="farhand-npm-") as cache:
            return self._listed({"NPM_CONFIG_CACHE": cache})

    def _listed(self, env: Mapping[str, str]) -> PatchList:
        where = ["--prefix", str(self._project)] if self._project else ["--global"]
        # 1 stands for findings and for failures; the document tells them apart.
        outcome = self._asked(
            ["npm", "outdated", "--json", *where],
            exits=_FINDINGS,
            timeout_s=REFRESH_TIMEOUT_S,
            env=env,
        )
        outdated = parse_outdated(outcome.text)
        known = self._audit(env) if self._project else None
        updates = tuple(
            Update(
                id=one.name,
                name=one.name,
                installed=one.installed,
                available=one.available,
                origin="npm",
                kind="security" if known and one.name in known else "unknown",
                severity=known[one.name].severity if known and one.name in known else "unknown",
                advisories=known[one.name].advisories if known and one.name in known else (),
            )
            for one in outdated
        )
        return PatchList(
            provider=self.name,
            status="ok",
            scope=self.scope,
            reason="" if known is not None else "npm audits no global packages",
            updates=updates,
            reboot=self.reboot_state(),
            security_labelled=known is not None,
        )

    def reboot_state(self) -> Reboot:
        """Return that no restart is needed."""
        return Reboot(required=False)

    def _audit(self, env: Mapping[str, str]) -> Mapping[str, Vulnerable] | None:
        outcome = self._asked(
            ["npm", "audit", "--json", "--prefix", str(self._project)],
            exits=_FINDINGS,
            timeout_s=REFRESH_TIMEOUT_S,
            env=env,
        )
        try:
            return parse_audit(outcome.text)
        except ProviderError:
            # A registry without an audit answers "405": then nothing is labelled, and said so.
            return None

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)
