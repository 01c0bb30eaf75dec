"""Fedora's and Red Hat's package managers as patch providers: dnf, and yum where dnf is not.

Reading what they print is `dnf_output`'s part.  Three of their answers mislead: `check-update`
ends with 100 when there are updates; `upgrade --assumeno` ends with 1 although it did what it
was asked; and a repository that cannot be reached is skipped in silence with 0, so every call
here switches that skipping off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farhand_agent.patches.dnf_output import (
    Available,
    classify,
    parse_advisories,
    parse_check_update,
    parse_removals,
    parse_repoquery,
    parse_versionlock,
    plain_evr,
)
from farhand_agent.patches.provider import (
    LOG_TAIL_BYTES,
    ApplyResult,
    PatchList,
    Plan,
    ProviderError,
    Reboot,
    Update,
    choose,
)
from farhand_agent.patches.reboot import linux_reboot
from farhand_agent.patches.registry import provider
from farhand_agent.platforms.commands import (
    CommandOverflow,
    CommandTimeout,
    Outcome,
    Runner,
    installed,
    run,
)
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["DnfProvider", "YumProvider"]

_STRICT: Final = "--setopt=*.skip_if_unavailable=0"
_QUERY: Final = "%{name}|%{epoch}:%{version}-%{release}|%{arch}|%{repoid}"
_RPM_QUERY: Final = "%{NAME}|%{EPOCHNUM}:%{VERSION}-%{RELEASE}|%{ARCH}|rpm\\n"
_UPDATES_EXIT: Final = 100
_LIST_TIMEOUT_S: Final = 120.0
_REFRESH_TIMEOUT_S: Final = 600.0
_APPLY_TIMEOUT_S: Final = 4 * 3600.0
_GRACE_S: Final = 120.0
# Source: the list in dnf-plugins-core's needs_restarting.py.
_REBOOT_NAMES: Final = frozenset(
    ["kernel", "kernel-core", "kernel-rt", "kernel-rt-core", "glibc", "linux-firmware", "systemd",
     "dbus", "dbus-broker", "dbus-daemon", "microcode_ctl"]
)  # fmt: skip


class _RpmProvider:
    """What dnf and yum have in common."""

    name = "dnf"
    _all = "--all"

    def __init__(self, runner: Runner = run, files: SystemFiles | None = None) -> None:
        self._run = runner
        self._files = files or SystemFiles()

    def present(self) -> bool:
        """Return whether this package manager rules this system."""
        databases = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
        return installed(self.name) and any(map(self._files.names, databases))

    def refresh(self) -> None:
        """Fetch the indexes anew; one that cannot be reached is an error.

        Raises:
            ProviderError: as classified by `dnf_output.classify`.
        """
        self._call(["-q", "makecache", "--refresh"], timeout_s=_REFRESH_TIMEOUT_S)

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified; `patch-not-refreshed` where there are no indexes yet.
        """
        available = self._available()
        before = self._installed([one.name for one in available])
        advisories = parse_advisories(self._advisories() if available else "")
        by_package = {(a.name, a.evr, a.arch): a for a in advisories}
        locks = parse_versionlock(self._versionlock() if available else "")
        updates = []
        for one in available:
            advisory = by_package.get((one.name, one.evr, one.arch))
            updates.append(
                Update(
                    id=f"{one.name}.{one.arch}",
                    name=one.name,
                    installed=before.get((one.name, one.arch), ""),
                    available=one.evr,
                    arch=one.arch,
                    origin=one.repository,
                    kind=advisory.kind if advisory else "unknown",
                    severity=advisory.severity if advisory else "unknown",
                    held=one.name in locks and one.evr not in locks[one.name],
                    requires_reboot=one.name in _REBOOT_NAMES,
                    advisories=(advisory.id,) if advisory else (),
                )
            )
        labelled = bool(advisories) or not updates or self._any_advisory()
        return PatchList(
            provider=self.name,
            status="ok",
            reason="" if labelled else "the repositories carry no advisories",
            updates=tuple(updates),
            reboot=self.reboot_state(),
            security_labelled=labelled,
            refreshed_at=self._refreshed_at(),
        )

    def plan(self, ids: Sequence[str] | None, *, security_only: bool = False) -> Plan:
        """Return what applying these updates would do, from a dry run of just that.

        Raises:
            ProviderError: `patch-unknown-update`, and as classified.
        """
        chosen = choose(self.list().updates, ids, security_only=security_only)
        if not chosen:
            return Plan(provider=self.name, updates=())
        # Without -q: dnf hides the table otherwise.  It answers 1 to "no", which is no failure.
        outcome = self._started(["upgrade", "--assumeno", *_specs(chosen)])
        aborted = "Operation aborted" in outcome.error_text + outcome.text
        if outcome.exit_code != 0 and not aborted:
            raise classify(self.name, outcome.exit_code, outcome.error_text + outcome.text)
        return Plan(
            provider=self.name, updates=chosen, removals=tuple(parse_removals(outcome.text))
        )

    def apply(self, plan: Plan, *, allow_removals: bool = False) -> ApplyResult:
        """Upgrade the plan's packages to the plan's versions.

        Raises:
            ProviderError: `patch-would-remove`, and as classified when nothing was installed.
        """
        if plan.removals and not allow_removals:
            raise ProviderError(
                "patch-would-remove", f"the plan would remove {', '.join(plan.removals[:5])}"
            )
        if not plan.updates:
            return ApplyResult(
                provider=self.name, exit_code=0, done=(), failed=(),
                reboot=self.reboot_state(), log_tail="",
            )  # fmt: skip
        outcome = self._started(
            ["-y", "--setopt=exit_on_lock=1", "upgrade", *_specs(plan.updates)],
            timeout_s=_APPLY_TIMEOUT_S,
            grace_s=_GRACE_S,
        )
        done, failed = self.verify(plan)
        log = (outcome.text + outcome.error_text)[-LOG_TAIL_BYTES:]
        if outcome.exit_code != 0 and not done:
            error = classify(self.name, outcome.exit_code, outcome.error_text + outcome.text)
            error.log_tail = log
            raise error
        return ApplyResult(
            provider=self.name,
            exit_code=outcome.exit_code,
            done=done,
            failed=failed,
            reboot=self.reboot_state(),
            log_tail=log,
        )

    def verify(self, plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids that rpm reports installed at the planned version, and the others."""
        # A kernel stays installed beside its predecessor, so all versions count here.
        outcome = self._rpm([update.name for update in plan.updates])
        present = {(p.name, p.arch, p.evr) for p in parse_repoquery(outcome.text)}
        done = tuple(
            u.id for u in plan.updates if (u.name, u.arch, plain_evr(u.available)) in present
        )
        return done, tuple(u.id for u in plan.updates if u.id not in done)

    def reboot_state(self) -> Reboot:
        """Return what `needs-restarting -r` says, else what the kernels on disk say."""
        try:
            outcome = self._started(["needs-restarting", "-r"], timeout_s=30.0)
        except FarhandError:
            return linux_reboot(self._run, self._files)
        # Errors end with 1 as well, so the words decide.
        if outcome.exit_code == 1 and "Reboot is required" in outcome.text:
            names = [ln.strip("* ") for ln in outcome.text.split("\n") if ln.startswith("  * ")]
            return Reboot(required=True, reasons=tuple(names[:50]) or ("needs-restarting",))
        if outcome.exit_code == 0 and "should not be necessary" in outcome.text:
            return Reboot(required=False)
        return linux_reboot(self._run, self._files)

    def _available(self) -> Sequence[Available]:
        outcome = self._call(["-q", "-C", "repoquery", "--upgrades", "--qf", _QUERY])
        return parse_repoquery(outcome.text)

    def _advisories(self) -> str:
        return self._call(["-q", "-C", "updateinfo", "list", "--updates"]).text

    def _any_advisory(self) -> bool:
        # None of the pending updates has an advisory: does any repository carry some at all?
        outcome = self._started(["-q", "-C", "updateinfo", "list", self._all])
        return bool(parse_advisories(outcome.text))

    def _versionlock(self) -> str:
        outcome = self._started(["-q", "-C", "versionlock", "list"])
        # The plugin is optional; without it nothing can be locked.
        return outcome.text if outcome.exit_code == 0 else ""

    def _installed(self, names: Sequence[str]) -> dict[tuple[str, str], str]:
        return {(p.name, p.arch): p.evr for p in parse_repoquery(self._rpm(names).text)}

    def _rpm(self, names: Sequence[str]) -> Outcome:
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return Outcome(0, b"", b"")
        # rpm ends with the number of names it does not have; only its answer counts.
        return self._guarded(["rpm", "-q", "--qf", _RPM_QUERY, "--", *wanted], _LIST_TIMEOUT_S, 0.0)

    def _refreshed_at(self) -> str | None:
        folder = f"/var/cache/{self.name}"
        stamps = (f"{folder}/{name}" for name in self._files.names(folder))
        times = [at for at in map(self._files.modified_at, stamps) if at is not None]
        return format_instant(from_unix(int(max(times)))) if times else None

    def _call(self, arguments: Sequence[str], *, timeout_s: float = _LIST_TIMEOUT_S) -> Outcome:
        outcome = self._started(arguments, timeout_s=timeout_s)
        if outcome.exit_code not in (0, _UPDATES_EXIT):
            raise classify(self.name, outcome.exit_code, outcome.error_text)
        return outcome

    def _started(
        self, arguments: Sequence[str], *, timeout_s: float = _LIST_TIMEOUT_S, grace_s: float = 0.0
    ) -> Outcome:
        return self._guarded([self.name, _STRICT, *arguments], timeout_s, grace_s)

    def _guarded(self, argv: Sequence[str], timeout_s: float, grace_s: float) -> Outcome:
        try:
            return self._run(
                argv,
                timeout_s=timeout_s,
                overflow="tail" if grace_s else "fail",
                grace_s=grace_s,
            )
        except CommandTimeout as error:
            raise ProviderError("patch-timeout", error.message, state="timeout") from error
        except CommandOverflow as error:
            raise ProviderError("patch-failed", error.message) from error


@provider
class DnfProvider(_RpmProvider):
    """dnf on Fedora, RHEL 8 and later and their kin."""

    name = "dnf"


@provider
class YumProvider(_RpmProvider):
    """yum where dnf is not installed: RHEL 7 and its kin.  Its verbs differ a little."""

    name = "yum"
    _all = "all"

    def present(self) -> bool:
        """Return whether yum rules this system; a yum that is only dnf's other name does not."""
        return not installed("dnf") and super().present()

    def _available(self) -> Sequence[Available]:
        return parse_check_update(self._call(["-q", "-C", "check-update"]).text)

    def _advisories(self) -> str:
        return self._call(["-q", "-C", "updateinfo", "list", "updates"]).text


def _specs(updates: Sequence[Update]) -> list[str]:
    return [f"{u.name}-{u.available}.{u.arch}" for u in updates]
