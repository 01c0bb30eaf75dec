"""Python packages of the system's interpreters, reported only.

Asked only when named: each question tells an index what is installed here.  An interpreter that
is marked EXTERNALLY-MANAGED (PEP 668) belongs to the system's package manager; what pip finds
newer there is listed as kept back, since pip must not change it.  Where pip-audit is installed,
it labels what has known vulnerabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.pip_output import classify, parse_audit, parse_outdated
from farhand_agent.patches.provider import PatchList, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.reporting import ReportingProvider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S
from farhand_agent.platforms.commands import Outcome, Runner, installed, run
from farhand_agent.platforms.files import SystemFiles

__all__ = ["PipProvider"]

_INTERPRETERS: Final = ("/usr/bin/python3", "/usr/local/bin/python3", "/opt/homebrew/bin/python3")
_QUIET: Final = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# One answer per line: where PEP 668's marker would lie, and where packages of the system lie.
_WHERE: Final = (
    "import os, sysconfig;"
    "print(os.path.join(sysconfig.get_path('stdlib', sysconfig.get_default_scheme()),"
    " 'EXTERNALLY-MANAGED'))"
)


@provider
class PipProvider(ReportingProvider):
    """pip, for each of the system's interpreters.

    Args:
        interpreters: absolute paths, asked in this order.
    """

    name = "pip"
    scope = "languages"
    by_default = False
    why = "packages of a Python interpreter are for whoever uses it to update"
    instead = "update the environment that needs it, not the system's interpreter"

    def __init__(
        self,
        runner: Runner = run,
        files: SystemFiles | None = None,
        *,
        interpreters: tuple[str, ...] = _INTERPRETERS,
    ) -> None:
        super().__init__(runner, files, env=_QUIET)
        self._interpreters = interpreters

    def present(self) -> bool:
        """Return whether there is an interpreter of the system."""
        return bool(self._found())

    def refresh(self) -> None:
        """Do nothing: pip keeps no index, `list` asks the index it is set to each time."""

    def list(self) -> PatchList:
        """Return what the index has newer, for every interpreter that has pip.

        Raises:
            ProviderError: `patch-unreadable`, and as classified.
        """
        updates: list[Update] = []
        managed: list[str] = []
        audited = installed("pip-audit")
        for interpreter in self._found():
            outcome = self._started(
                [interpreter, "-I", "-m", "pip", "list", "--outdated", "--format", "json"],
                timeout_s=REFRESH_TIMEOUT_S,
            )
            if "No module named pip" in outcome.error_text:
                continue
            if outcome.exit_code != 0:
                raise self._refusal(outcome)
            rules = self._is_managed(interpreter)
            managed += [interpreter] if rules else []
            advisories = self._audit(interpreter) if audited else {}
            updates += [
                Update(
                    id=f"{one.name}@{interpreter}",
                    name=one.name,
                    installed=one.installed,
                    available=one.available,
                    origin=interpreter,
                    kind="security" if one.name.lower() in advisories else "unknown",
                    kept_back=rules,
                    advisories=tuple(advisories.get(one.name.lower(), ())),
                )
                for one in parse_outdated(outcome.text)
            ]
        reasons = [f"{path} belongs to the system's package manager" for path in managed]
        return PatchList(
            provider=self.name,
            status="ok",
            scope=self.scope,
            reason="; ".join(reasons) or ("" if audited else "pip has no security label"),
            updates=tuple(updates),
            reboot=self.reboot_state(),
            security_labelled=audited,
        )

    def reboot_state(self) -> Reboot:
        """Return that no restart is needed."""
        return Reboot(required=False)

    def _found(self) -> Sequence[str]:
        return [one for one in self._interpreters if self._files.path(one).is_file()]

    def _is_managed(self, interpreter: str) -> bool:
        marker = self._asked([interpreter, "-I", "-c", _WHERE]).text.strip()
        return bool(marker) and self._files.path(marker).is_file()

    def _audit(self, interpreter: str) -> Mapping[str, Sequence[str]]:
        variables = {"PIPAPI_PYTHON_LOCATION": interpreter}
        outcome = self._started(
            ["pip-audit", "--format", "json", "--progress-spinner", "off"],
            timeout_s=REFRESH_TIMEOUT_S,
            env=variables,
        )
        return parse_audit(outcome.text)

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)
