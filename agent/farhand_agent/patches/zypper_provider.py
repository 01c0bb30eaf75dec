"""SUSE's package manager as a patch provider.

Reading what zypper prints is `zypper_output`'s part.  Its traps: `zypper --non-interactive patch`
skips each patch that asks for a restart and ends with 0, so that the machine stays vulnerable and
looks patched; 102 and 103 are successes; and `needs-rebooting` forgets what a patch asked for.
Here a patch is what labels packages.  Packages are installed by name and version, so that none is
skipped, and the restart that a patch asks for is told from the patch itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from farhand_agent.patches.provider import Kind, PatchList, Plan, ProviderError, Reboot, Update
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.patches.zypper_output import (
    NEW_ZYPPER,
    REBOOT,
    Available,
    Patch,
    classify,
    parse_locks,
    parse_patch_packages,
    parse_patches,
    parse_plan,
    parse_updates,
)
from farhand_agent.platforms.commands import Outcome, installed
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["ZypperProvider"]

_QUIET: Final = ("--non-interactive", "--no-refresh")
_RPM_QUERY: Final = "%{NAME}.%{ARCH}\\t%{EPOCH}:%{VERSION}-%{RELEASE}\\n"
_FINE: Final = frozenset([0, REBOOT, NEW_ZYPPER])
_PATCHES_PER_CALL: Final = 200
# The worst kind and severity among several patches counts.
_KINDS: Final[tuple[Kind, ...]] = ("security", "bugfix", "enhancement", "unknown")
_SEVERITIES: Final = ("critical", "important", "moderate", "low", "unknown")


@provider
class ZypperProvider(StepwiseProvider):
    """zypper on openSUSE and SUSE Linux Enterprise."""

    name = "zypper"
    success = _FINE

    def present(self) -> bool:
        """Return whether zypper rules this system."""
        databases = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
        return (
            installed("zypper")
            and self._files.path("/etc/zypp/zypp.conf").exists()
            and any(map(self._files.names, databases))
        )

    def refresh(self) -> None:
        """Fetch the indexes anew.

        Raises:
            ProviderError: as classified by `zypper_output.classify`.
        """
        self._asked(["zypper", "--non-interactive", "refresh"], timeout_s=REFRESH_TIMEOUT_S)

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified.
        """
        available = parse_updates(self._xml("list-updates", "--all").text)
        ready = {(one.name, one.arch) for one in parse_updates(self._xml("list-updates").text)}
        patches = parse_patches(self._xml("list-patches").text)
        packages = self._packages(patches)
        locks = parse_locks(self._files.text("/etc/zypp/locks") or "")
        by_name: dict[str, list[tuple[str, Patch]]] = {}
        for patch in patches:
            for name, arch, _ in packages.get(patch.name, ()):
                by_name.setdefault(name, []).append((arch, patch))
        updates = []
        for one in available:
            held = any(fnmatchcase(one.name, lock) for lock in locks)
            updates.append(
                _update(
                    one,
                    [p for arch, p in by_name.get(one.name, ()) if arch in ("", one.arch)],
                    held=held,
                    kept_back=not held and (one.name, one.arch) not in ready,
                )
            )
        covered = {update.name for update in updates}
        updates += [
            # Nothing that the lists call needed may get lost because its packages are not known.
            Update(
                id=f"patch:{patch.name}", name=patch.name, installed="", available="",
                kind=patch.kind, severity=patch.severity, requires_reboot=patch.asks_restart,
                advisories=(patch.name,), cves=patch.cves, kept_back=True,
            )
            for patch in patches
            if not any(name in covered for name, _, _ in packages.get(patch.name, ()))
        ]  # fmt: skip
        labelled = bool(patches) or not updates or self._any_patch()
        return PatchList(
            provider=self.name,
            status="ok",
            reason="" if labelled else "the repositories carry no patches",
            updates=tuple(updates),
            reboot=self.reboot_state(),
            security_labelled=labelled,
            refreshed_at=self._refreshed_at(),
        )

    def reboot_state(self) -> Reboot:
        """Return what `needs-rebooting` says; it looks at core packages only."""
        outcome = self._started(["zypper", *_QUIET, "needs-rebooting"])
        if outcome.exit_code == REBOOT:
            return Reboot(required=True, reasons=("zypper needs-rebooting",))
        return Reboot(required=False) if outcome.exit_code == 0 else super().reboot_state()

    def plan(self, ids: Sequence[str] | None, *, security_only: bool = False) -> Plan:
        """Return what applying these updates would do.

        Raises:
            ProviderError: `patch-all-or-nothing` on a rolling release, `patch-report-only` on a
                system whose root is read-only, and as classified.
        """
        if "tumbleweed" in (self._files.text("/etc/os-release") or "").lower():
            raise ProviderError(
                "patch-all-or-nothing",
                "a rolling release is updated as a whole",
                hint="run: zypper dup",
            )
        if self._files.path("/usr/sbin/transactional-update").exists():
            raise ProviderError(
                "patch-report-only",
                "this system's root is read-only and updated by snapshots",
                hint="run: transactional-update patch",
            )
        return super().plan(ids, security_only=security_only)

    def _reboot_after(self, plan: Plan, outcome: Outcome) -> Reboot:
        # needs-rebooting calls it not necessary after a patch that asks for it; so this is
        # remembered (`ledger`) until the system has started anew.
        asking = [update for update in plan.updates if update.requires_reboot]
        reasons = [f"{u.name} ({', '.join(u.advisories)})" for u in asking]
        if outcome.exit_code == REBOOT and not reasons:
            reasons = ["zypper asked for a restart"]
        return Reboot(required=True, reasons=tuple(reasons)) if reasons else self.reboot_state()

    def _dry_run(self, chosen: tuple[Update, ...]) -> Plan:
        outcome = self._xml("install", "--dry-run", "--", *_pins(chosen))
        fresh, removals = parse_plan(outcome.text)
        extra = [
            Update(id=f"new:{name}", name=name, installed="", available="")
            for name in fresh
            if name not in {update.name for update in chosen}
        ]
        return Plan(provider=self.name, updates=(*chosen, *extra), removals=tuple(removals))

    def _install(self, plan: Plan) -> Outcome:
        return self._change(["install", "--", *_pins(plan.updates)])

    def _downgrade(self, plan: Plan) -> Outcome:
        outcome = self._change(["install", "--oldpackage", "--", *_pins(plan.updates)])
        if outcome.exit_code not in _FINE:
            error = self._refusal(outcome)
            if error.code == "patch-unknown-update":
                raise ProviderError(
                    "patch-no-rollback",
                    "zypper: no repository has the version from before any more",
                    detail=error.detail,
                    tool_exit_code=outcome.exit_code,
                )
        return outcome

    def _change(self, arguments: Sequence[str]) -> Outcome:
        argv = ["zypper", *_QUIET, *arguments]
        outcome = self._changing(argv)
        if outcome.exit_code == NEW_ZYPPER:
            again = self._changing(argv)
            return Outcome(
                again.exit_code, outcome.stdout + again.stdout, outcome.stderr + again.stderr
            )
        return outcome

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        names = dict.fromkeys(update.name for update in updates)
        # rpm ends with the number of names it does not have; only its answer counts.
        outcome = self._started(["rpm", "-q", "--qf", _RPM_QUERY, "--", *names])
        found: dict[str, list[str]] = {}
        for line in outcome.text.split("\n"):
            name, tab, version = line.partition("\t")
            if tab:
                plain = version.removeprefix("(none):").removeprefix("0:")
                found.setdefault(name, []).append(plain)
                # What came in new was planned by its name, without a version.
                found.setdefault(f"new:{name.rpartition('.')[0]}", []).append("")
        return found

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.text + outcome.error_text)

    def _xml(self, *arguments: str) -> Outcome:
        return self._asked(["zypper", *_QUIET, "--xmlout", *arguments], exits=_FINE)

    def _packages(self, patches: Sequence[Patch]) -> dict[str, Sequence[tuple[str, str, str]]]:
        found: dict[str, Sequence[tuple[str, str, str]]] = {}
        names = [patch.name for patch in patches]
        for start in range(0, len(names), _PATCHES_PER_CALL):
            part = names[start : start + _PATCHES_PER_CALL]
            outcome = self._asked(
                ["zypper", *_QUIET, "info", "--type", "patch", "--", *part], exits=_FINE
            )
            found |= parse_patch_packages(outcome.text)
        return found

    def _any_patch(self) -> bool:
        # None of the pending updates has a patch: does any repository carry some at all?
        return "<update" in self._xml("list-patches", "--all").text

    def _refreshed_at(self) -> str | None:
        folder = "/var/cache/zypp/solv"
        stamps = (f"{folder}/{name}/solv" for name in self._files.names(folder) if name[:1] != "@")
        times = [at for at in map(self._files.modified_at, stamps) if at is not None]
        return format_instant(from_unix(int(max(times)))) if times else None


def _update(one: Available, patches: Sequence[Patch], *, held: bool, kept_back: bool) -> Update:
    return Update(
        id=f"{one.name}.{one.arch}",
        name=one.name,
        installed=one.installed,
        available=one.available,
        arch=one.arch,
        origin=one.repository,
        kind=min((patch.kind for patch in patches), key=_KINDS.index, default="unknown"),
        severity=min(
            (patch.severity for patch in patches), key=_SEVERITIES.index, default="unknown"
        ),
        held=held,
        kept_back=kept_back,
        requires_reboot=any(patch.asks_restart for patch in patches),
        advisories=tuple(patch.name for patch in patches),
        cves=tuple(cve for patch in patches for cve in patch.cves),
    )


def _pins(updates: Iterable[Update]) -> list[str]:
    return [
        f"{update.name}={update.available}"
        for update in updates
        if update.available and not update.id.startswith("patch:")
    ]
