"""What most providers have in common: the order of the steps, and what is done between them.

A provider that builds on this says how its package manager lists, installs and tells what is
installed; that a plan which removes is refused, that only what is really installed counts as
done, and that exit code and output are kept, is the same for all and stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from farhand_agent.patches.provider import (
    ApplyResult,
    Change,
    PatchList,
    Plan,
    ProviderError,
    Reboot,
    Scope,
    Update,
    choose,
)
from farhand_agent.patches.reboot import linux_reboot
from farhand_agent.patches.refusals import text_tail
from farhand_agent.platforms.commands import (
    CommandDenied,
    CommandMissing,
    CommandOverflow,
    CommandTimeout,
    Outcome,
    Runner,
    run,
)
from farhand_agent.platforms.files import SystemFiles

__all__ = ["APPLY_TIMEOUT_S", "LIST_TIMEOUT_S", "REFRESH_TIMEOUT_S", "StepwiseProvider"]

LIST_TIMEOUT_S: Final = 120.0
REFRESH_TIMEOUT_S: Final = 600.0
# An apply that is killed leaves packages half installed, so this is only a last resort.
APPLY_TIMEOUT_S: Final = 4 * 3600.0
_GRACE_S: Final = 120.0


class StepwiseProvider(ABC):
    """One package manager, on the system or in a scratch root.

    Args:
        runner: starts commands.
        files: where the package manager's files lie.
        options: program to arguments that stand right behind it; they name a scratch root.
        env: more variables for every call.
    """

    name: ClassVar[str]
    scope: ClassVar[Scope] = "system"
    by_default: ClassVar[bool] = True
    success: ClassVar[frozenset[int]] = frozenset([0])

    def __init__(
        self,
        runner: Runner = run,
        files: SystemFiles | None = None,
        *,
        options: Mapping[str, Sequence[str]] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._run = runner
        self._files = files or SystemFiles()
        self._options = dict(options or {})
        self._env = dict(env or {})

    @abstractmethod
    def present(self) -> bool:
        """Return whether this package manager rules this system."""

    @abstractmethod
    def refresh(self) -> None:
        """Fetch the repositories' indexes anew."""

    @abstractmethod
    def list(self) -> PatchList:
        """Return the updates known from what is at hand."""

    def plan(self, ids: Sequence[str] | None, *, security_only: bool = False) -> Plan:
        """Return what applying these updates would do.

        Raises:
            ProviderError: `patch-unknown-update`, and as classified.
        """
        chosen = choose(self.list().updates, ids, security_only=security_only)
        return self._dry_run(chosen) if chosen else Plan(provider=self.name, updates=())

    def apply(self, plan: Plan, *, allow_removals: bool = False) -> ApplyResult:
        """Install what the plan says and look at what is installed then.

        Raises:
            ProviderError: `patch-would-remove`, and as classified when nothing was installed.
        """
        if plan.removals and not allow_removals:
            raise ProviderError(
                "patch-would-remove", f"the plan would remove {', '.join(plan.removals[:5])}"
            )
        return self._carried_out(plan, self._install)

    def rollback(self, changes: Sequence[Change]) -> ApplyResult:
        """Bring back the versions from before; what came in new stays.

        Raises:
            ProviderError: `patch-no-rollback`, and as classified.
        """
        back = tuple(
            Update(id=c.id, name=c.name, installed=c.after, available=c.before)
            for c in changes
            if c.before
        )
        if not back:
            raise ProviderError("patch-no-rollback", "no package had an older version before")
        return self._carried_out(Plan(provider=self.name, updates=back), self._downgrade)

    def verify(self, plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids that are installed as planned, and those that are not."""
        present = self._installed(plan.updates)
        done = tuple(u.id for u in plan.updates if u.available in present.get(u.id, ()))
        return done, tuple(u.id for u in plan.updates if u.id not in done)

    def repair(self) -> None:
        """Finish what an interrupted run left behind.

        Raises:
            ProviderError: `patch-failed` where there is nothing to repair with, and as classified.
        """
        raise ProviderError("patch-failed", f"{self.name} has nothing to repair with")

    def reboot_state(self) -> Reboot:
        """Return whether the system waits for a restart."""
        return linux_reboot(self._run, self._files)

    def _dry_run(self, chosen: tuple[Update, ...]) -> Plan:
        return Plan(provider=self.name, updates=chosen)

    @abstractmethod
    def _install(self, plan: Plan) -> Outcome:
        """Install the plan's updates."""

    def _downgrade(self, plan: Plan) -> Outcome:
        raise ProviderError("patch-no-rollback", f"{self.name} has no way back")

    @abstractmethod
    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        """Return the versions that are installed, by update id."""

    @abstractmethod
    def _refusal(self, outcome: Outcome) -> ProviderError:
        """Return what a failure means."""

    def _reboot_after(self, plan: Plan, outcome: Outcome) -> Reboot:
        return self.reboot_state()

    def _carried_out(self, plan: Plan, act: Callable[[Plan], Outcome]) -> ApplyResult:
        if not plan.updates:
            return ApplyResult(
                provider=self.name, exit_code=0, done=(), failed=(),
                reboot=self.reboot_state(), log_tail="",
            )  # fmt: skip
        outcome = act(plan)
        done, failed = self.verify(plan)
        if outcome.exit_code not in self.success and not done:
            error = self._refusal(outcome)
            error.log_tail = text_tail(outcome.stdout + outcome.stderr)
            raise error
        return ApplyResult(
            provider=self.name,
            exit_code=outcome.exit_code,
            done=done,
            failed=failed,
            changes=tuple(
                Change(id=u.id, name=u.name, before=u.installed, after=u.available)
                for u in plan.updates
                if u.id in done
            ),
            reboot=self._reboot_after(plan, outcome),
            log_tail=text_tail(outcome.stdout + outcome.stderr),
        )

    def _asked(
        self,
        argv: Sequence[str],
        *,
        exits: frozenset[int] = frozenset([0]),
        timeout_s: float = LIST_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run a command that must end with one of `exits`."""
        outcome = self._started(argv, timeout_s=timeout_s, env=env)
        if outcome.exit_code not in exits:
            raise self._refusal(outcome)
        return outcome

    def _changing(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = APPLY_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run a command that changes the system: however it ends, its output is kept."""
        return self._started(argv, timeout_s=timeout_s, grace_s=_GRACE_S, env=env)

    def _started(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = LIST_TIMEOUT_S,
        grace_s: float = 0.0,
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        try:
            return self._run(
                [argv[0], *self._options.get(argv[0], ()), *argv[1:]],
                timeout_s=timeout_s,
                env=self._env | dict(env or {}),
                overflow="tail" if grace_s else "fail",
                grace_s=grace_s,
            )
        except CommandTimeout as error:
            raise ProviderError("patch-timeout", error.message, state="timeout") from error
        except CommandDenied as error:
            raise ProviderError("patch-denied", error.message, state="denied") from error
        except CommandMissing as error:
            raise ProviderError("patch-failed", error.message, state="unsupported") from error
        except CommandOverflow as error:
            raise ProviderError("patch-failed", error.message) from error
