"""Fedora's and Red Hat's package managers as patch providers: dnf, and yum where dnf is not.

Reading what they print is `dnf_output`'s part.  Three of their answers mislead: `check-update`
ends with 100 when there are updates; `upgrade --assumeno` ends with 1 although it did what it
was asked; and a repository that cannot be reached is skipped in silence with 0, so every call
here switches that skipping off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    PatchList,
    Plan,
    ProviderError,
    Reboot,
    Update,
)
from farhand_agent.patches.reboot import linux_reboot
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import (
    LIST_TIMEOUT_S,
    REFRESH_TIMEOUT_S,
    StepwiseProvider,
)
from farhand_agent.platforms.commands import Outcome, installed
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["DnfProvider", "YumProvider"]

# The word for "every exclude" is another one in dnf 5; each leaves the other's alone.
_ALL: Final = "--setopt=disable_excludes=all,*"
_STRICT: Final = "--setopt=*.skip_if_unavailable=0"
# dnf 4 ends each line by itself, dnf 5 does not.
_QUERY: Final = "%{name}|%{epoch}:%{version}-%{release}|%{arch}|%{repoid}\\n"
_RPM_QUERY: Final = "%{NAME}|%{EPOCHNUM}:%{VERSION}-%{RELEASE}|%{ARCH}|rpm\\n"
# check-update ends with 100 where there are updates.
_FINE: Final = frozenset([0, 100])
# Source: the list in dnf-plugins-core's needs_restarting.py.
_REBOOT_NAMES: Final = frozenset(
    ["kernel", "kernel-core", "kernel-rt", "kernel-rt-core", "glibc", "linux-firmware", "systemd",
     "dbus", "dbus-broker", "dbus-daemon", "microcode_ctl"]
)  # fmt: skip


class _RpmProvider(StepwiseProvider):
    """What dnf and yum have in common."""

    _all = "--all"

    def present(self) -> bool:
        """Return whether this package manager rules this system."""
        databases = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
        return installed(self.name) and any(map(self._files.names, databases))

    def refresh(self) -> None:
        """Fetch the indexes anew; one that cannot be reached is an error.

        Raises:
            ProviderError: as classified by `dnf_output.classify`.
        """
        self._call(["-q", "makecache", "--refresh"], timeout_s=REFRESH_TIMEOUT_S)

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified; `patch-not-refreshed` where there are no indexes yet.
        """
        available = self._available()
        before = self._before([one.name for one in available])
        advisories = parse_advisories(self._advisories() if available else "")
        by_package = {(a.name, a.evr, a.arch): a for a in advisories}
        locks = parse_versionlock(self._versionlock() if available else "")
        ready = {(one.name, one.evr, one.arch) for one in self._ready()} if available else set()
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
                    # By the plugin, or by `excludepkgs=` in a configuration file.
                    held=(one.name, one.evr, one.arch) not in ready
                    or (one.name in locks and one.evr not in locks[one.name]),
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

    def reboot_state(self) -> Reboot:
        """Return what `needs-restarting -r` says, else what the kernels on disk say."""
        try:
            outcome = self._tool(["needs-restarting", "-r"], timeout_s=30.0)
        except FarhandError:
            return linux_reboot(self._run, self._files)
        # Errors end with 1 as well, so the words decide.
        if outcome.exit_code == 1 and "Reboot is required" in outcome.text:
            names = [ln.strip("* ") for ln in outcome.text.split("\n") if ln.startswith("  * ")]
            return Reboot(required=True, reasons=tuple(names[:50]) or ("needs-restarting",))
        if outcome.exit_code == 0 and "should not be necessary" in outcome.text:
            return Reboot(required=False)
        return linux_reboot(self._run, self._files)

    def _dry_run(self, chosen: tuple[Update, ...]) -> Plan:
        # Without -q: dnf hides the table otherwise.  It answers 1 to "no", which is no failure.
        outcome = self._tool(["upgrade", "--assumeno", *_specs(chosen)])
        aborted = "Operation aborted" in outcome.error_text + outcome.text
        if outcome.exit_code != 0 and not aborted:
            raise self._refusal(outcome)
        return Plan(
            provider=self.name, updates=chosen, removals=tuple(parse_removals(outcome.text))
        )

    def _install(self, plan: Plan) -> Outcome:
        return self._change("upgrade", plan)

    def _downgrade(self, plan: Plan) -> Outcome:
        outcome = self._change("downgrade", plan)
        if outcome.exit_code and self._refusal(outcome).code == "patch-unknown-update":
            raise ProviderError(
                "patch-no-rollback",
                f"{self.name}: no repository has the version from before any more",
                detail=outcome.error_text[-500:],
                tool_exit_code=outcome.exit_code,
            )
        return outcome

    def _change(self, verb: str, plan: Plan) -> Outcome:
        return self._changing(
            [self.name, _STRICT, "-y", "--setopt=exit_on_lock=1", verb, *_specs(plan.updates)]
        )

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        # A kernel stays installed beside its predecessor, so all versions count here.
        found: dict[str, list[str]] = {}
        for one in parse_repoquery(self._rpm([update.name for update in updates]).text):
            found.setdefault(f"{one.name}.{one.arch}", []).append(plain_evr(one.evr))
        return found

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(self.name, outcome.exit_code, outcome.error_text + outcome.text)

    def _available(self) -> Sequence[Available]:
        outcome = self._call(["-q", "-C", _ALL, "repoquery", "--upgrades", "--qf", _QUERY])
        return parse_repoquery(outcome.text)

    def _ready(self) -> Sequence[Available]:
        outcome = self._call(["-q", "-C", "repoquery", "--upgrades", "--qf", _QUERY])
        return parse_repoquery(outcome.text)

    def _advisories(self) -> str:
        return self._call(["-q", "-C", "updateinfo", "list", "--updates"]).text

    def _any_advisory(self) -> bool:
        # None of the pending updates has an advisory: does any repository carry some at all?
        outcome = self._tool(["-q", "-C", "updateinfo", "list", self._all])
        return bool(parse_advisories(outcome.text))

    def _versionlock(self) -> str:
        outcome = self._tool(["-q", "-C", "versionlock", "list"])
        # The plugin is optional; without it nothing can be locked.
        return outcome.text if outcome.exit_code == 0 else ""

    def _before(self, names: Sequence[str]) -> dict[tuple[str, str], str]:
        return {(p.name, p.arch): p.evr for p in parse_repoquery(self._rpm(names).text)}

    def _rpm(self, names: Sequence[str]) -> Outcome:
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return Outcome(0, b"", b"")
        # rpm ends with the number of names it does not have; only its answer counts.
        return self._started(["rpm", "-q", "--qf", _RPM_QUERY, "--", *wanted])

    def _refreshed_at(self) -> str | None:
        folder = f"/var/cache/{self.name}"
        stamps = (f"{folder}/{name}" for name in self._files.names(folder))
        times = [at for at in map(self._files.modified_at, stamps) if at is not None]
        return format_instant(from_unix(int(max(times)))) if times else None

    def _call(self, arguments: Sequence[str], *, timeout_s: float = LIST_TIMEOUT_S) -> Outcome:
        return self._asked([self.name, _STRICT, *arguments], exits=_FINE, timeout_s=timeout_s)

    def _tool(self, arguments: Sequence[str], *, timeout_s: float = LIST_TIMEOUT_S) -> Outcome:
        return self._started([self.name, _STRICT, *arguments], timeout_s=timeout_s)


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
        return parse_check_update(self._call(["-q", "-C", _ALL, "check-update"]).text)

    def _ready(self) -> Sequence[Available]:
        return parse_check_update(self._call(["-q", "-C", "check-update"]).text)

    def _advisories(self) -> str:
        return self._call(["-q", "-C", "updateinfo", "list", "updates"]).text


def _specs(updates: Sequence[Update]) -> list[str]:
    # In a way back an update comes from a record, which has its id alone: NAME.ARCH.
    return [f"{u.name}-{u.available}.{u.id.rpartition('.')[2]}" for u in updates]
