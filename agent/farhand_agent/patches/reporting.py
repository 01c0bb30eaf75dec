"""Providers that only report: who may install what they list is not for an agent to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NoReturn

from farhand_agent.patches.provider import Change, Plan, ProviderError, Update
from farhand_agent.patches.stepwise import StepwiseProvider
from farhand_agent.platforms.commands import Outcome

__all__ = ["ReportingProvider"]


class ReportingProvider(StepwiseProvider):
    """A provider that lists and plans, and refuses to change anything.

    Attributes:
        why: words for a technician.
        instead: what a person can do.
    """

    why: ClassVar[str]
    instead: ClassVar[str]

    def apply(self, plan: Plan, *, allow_removals: bool = False) -> NoReturn:
        """Refuse.

        Raises:
            ProviderError: `patch-report-only`.
        """
        raise ProviderError("patch-report-only", self.why, hint=self.instead)

    def rollback(self, changes: Sequence[Change]) -> NoReturn:
        """Refuse.

        Raises:
            ProviderError: `patch-report-only`.
        """
        raise ProviderError("patch-report-only", self.why, hint=self.instead)

    def _install(self, plan: Plan) -> Outcome:
        self.apply(plan)

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        return {}
