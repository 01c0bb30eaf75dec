"""Debian's and Ubuntu's package manager as a patch provider.

It only drives apt-get, apt-cache, apt-mark and dpkg-query; reading what they print is
`apt_output`'s part.  Listing simulates (`apt-get -s`), which needs neither root nor a lock.
Applying names every package with its version, as planned, and never lets apt choose anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from farhand_agent.patches.apt_output import (
    Candidate,
    Policy,
    Simulation,
    classify,
    is_security_origin,
    parse_policy,
    parse_release_labels,
    parse_simulation,
)
from farhand_agent.patches.provider import (
    LOG_TAIL_BYTES,
    PACKAGE_NAME,
    ApplyResult,
    Kind,
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
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["AptProvider"]

_SIMULATE: Final = (
    "apt-get", "-s", "-q",
    "-o", "Debug::NoLocking=true",
    "-o", "APT::Get::Show-User-Simulation-Note=false",
)  # fmt: skip
_APPLY: Final = (
    "apt-get", "-y", "-q", "--only-upgrade",
    "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
    "-o", "Dpkg::Use-Pty=0",
)  # fmt: skip
# needrestart only lists, it never restarts services behind a technician's back.
_QUIET: Final = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
_LIST_TIMEOUT_S: Final = 60.0
_REFRESH_TIMEOUT_S: Final = 600.0
# An apply that is killed leaves dpkg interrupted, so this is only a last resort.
_APPLY_TIMEOUT_S: Final = 4 * 3600.0
_GRACE_S: Final = 120.0
_NAMES_PER_CALL: Final = 500
_REBOOT_NAMES: Final = frozenset(
    ["libc6", "systemd", "dbus", "dbus-broker", "udev", "intel-microcode", "amd64-microcode"]
)
_REBOOT_PREFIXES: Final = ("linux-image-", "linux-firmware")
_DISTRIBUTIONS: Final = ("Debian", "Ubuntu")


@provider
class AptProvider:
    """apt, on the system or in a scratch root.

    Args:
        runner: starts commands.
        files: where lists and markers lie.
        env: more variables for every command; APT_CONFIG and DPKG_ADMINDIR name a scratch root.
        lock_wait_s: how long apply waits for another package manager.
    """

    name = "apt"

    def __init__(
        self,
        runner: Runner = run,
        files: SystemFiles | None = None,
        env: Mapping[str, str] | None = None,
        lock_wait_s: int = 600,
    ) -> None:
        self._run = runner
        self._files = files or SystemFiles()
        self._env = dict(env or {})
        self._lock_wait_s = lock_wait_s

    def present(self) -> bool:
        """Return whether apt rules this system."""
        return installed("apt-get") and self._files.path("/var/lib/dpkg/status").exists()

    def refresh(self) -> None:
        """Fetch the indexes anew; one that fails is an error, which plain apt-get would hide.

        Raises:
            ProviderError: as classified by `apt_output.classify`.
        """
        self._call(
            ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"],
            timeout_s=_REFRESH_TIMEOUT_S,
        )

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified by `apt_output.classify`.
        """
        simulation = self._simulate(["dist-upgrade"])
        held = set(self._call(["apt-mark", "showhold"]).text.split())
        kept = dict.fromkeys([*simulation.kept_back, *simulation.phased, *sorted(held)])
        present = {candidate.name for candidate in simulation.installs}
        kept_names = [name for name in kept if name not in present and PACKAGE_NAME.fullmatch(name)]
        labels = parse_release_labels(self._call(["apt-cache", "policy"]).text)
        labelled = any(is_security_origin(label) for label in labels.values())
        policies = self._policies(
            [*kept_names, *(c.name for c in simulation.installs if c.installed)] if labelled
            else kept_names
        )  # fmt: skip
        updates = [
            self._from_candidate(candidate, policies, labels, held=held, labelled=labelled)
            for candidate in simulation.installs
        ]
        for name in kept_names:
            policy = policies.get(name)
            if policy and policy.installed and policy.candidate not in ("", policy.installed):
                candidate = Candidate(
                    name,
                    policy.installed,
                    policy.candidate,
                    "",
                    tuple(labels.get(source, "") for source in policy.candidate_sources),
                )
                phased = policy.phased or name in simulation.phased
                update = self._from_candidate(
                    candidate, policies, labels, held=held, labelled=labelled
                )
                stuck = not phased and name not in held
                updates.append(replace(update, phased=phased, kept_back=stuck))
        return PatchList(
            provider=self.name,
            status="ok",
            reason="" if labelled else "the package lists hold no security archive",
            updates=tuple(updates),
            reboot=self.reboot_state(),
            security_labelled=labelled,
            refreshed_at=self._refreshed_at(),
        )

    def plan(self, ids: Sequence[str] | None, *, security_only: bool = False) -> Plan:
        """Return what applying these updates would do, from a simulation of just that.

        Raises:
            ProviderError: `patch-unknown-update`, and as classified.
        """
        listed = {update.id: update for update in self.list().updates}
        chosen = choose(listed.values(), ids, security_only=security_only)
        if not chosen:
            return Plan(provider=self.name, updates=())
        simulation = self._simulate(["install", "--only-upgrade", "--", *_pins(chosen)])
        planned = {update.id: update for update in chosen}
        for extra in simulation.installs:
            planned.setdefault(
                extra.name,
                Update(
                    id=extra.name, name=extra.name.partition(":")[0],
                    installed=extra.installed, available=extra.available, arch=extra.arch,
                ),
            )  # fmt: skip
        return Plan(
            provider=self.name,
            updates=tuple(planned.values()),
            removals=tuple(simulation.removals),
        )

    def apply(self, plan: Plan, *, allow_removals: bool = False) -> ApplyResult:
        """Install the plan's packages at the plan's versions; keep the person's configuration.

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
        automatic = set(self._call(["apt-mark", "showauto"]).text.split())
        outcome = self._started(
            [
                *_APPLY,
                *(("--no-remove",) if not allow_removals else ()),
                *("-o", f"DPkg::Lock::Timeout={self._lock_wait_s}"),
                *("install", "--"),
                # New dependencies come in by themselves: --only-upgrade would skip them if named.
                *_pins(update for update in plan.updates if update.installed),
            ],
            timeout_s=_APPLY_TIMEOUT_S + self._lock_wait_s,
            grace_s=_GRACE_S,
        )
        done, failed = self.verify(plan)
        log = outcome.text + outcome.error_text
        if outcome.exit_code != 0 and not done:
            error = classify(outcome.exit_code, outcome.error_text)
            error.log_tail = log[-LOG_TAIL_BYTES:]
            raise error
        # Naming a package marks it as wanted by a person; give it back its place, or autoremove
        # would never clean it up again.
        again = [
            update.id for update in plan.updates if update.id in automatic and update.id in done
        ]
        if again:
            self._call(["apt-mark", "-q", "auto", "--", *again])
        return ApplyResult(
            provider=self.name,
            exit_code=outcome.exit_code,
            done=done,
            failed=failed,
            reboot=self.reboot_state(),
            log_tail=log[-LOG_TAIL_BYTES:],
        )

    def verify(self, plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids that dpkg reports installed at the planned version, and the others."""
        query = "${binary:Package}\t${Package}\t${Version}\t${db:Status-Status}\n"
        outcome = self._call(["dpkg-query", "-W", f"-f={query}"])
        versions: dict[str, str] = {}
        for line in outcome.text.split("\n"):
            fields = line.split("\t")
            if len(fields) == 4 and fields[3] == "installed":
                versions.setdefault(fields[1], fields[2])
                versions[fields[0]] = fields[2]
        done = tuple(u.id for u in plan.updates if versions.get(u.id) == u.available)
        return done, tuple(u.id for u in plan.updates if u.id not in done)

    def reboot_state(self) -> Reboot:
        """Return whether the system waits for a restart."""
        return linux_reboot(self._run, self._files)

    def _from_candidate(
        self,
        candidate: Candidate,
        policies: Mapping[str, Policy],
        labels: Mapping[str, str],
        *,
        held: set[str],
        labelled: bool,
    ) -> Update:
        policy = policies.get(candidate.name)
        newer = [labels.get(source, "") for source in policy.newer] if policy else []
        kind: Kind = "unknown"
        if any(map(is_security_origin, [*candidate.origins, *newer])):
            kind = "security"
        elif labelled and any(o.partition(":")[0] in _DISTRIBUTIONS for o in candidate.origins):
            # The distribution labels its security updates and this is none; a stable release
            # only takes repairs besides.  Third parties label nothing: theirs stay unknown.
            kind = "bugfix"
        name = candidate.name.partition(":")[0]
        return Update(
            id=candidate.name,
            name=name,
            installed=candidate.installed,
            available=candidate.available,
            arch=candidate.arch,
            origin=", ".join(candidate.origins)[:300],
            kind=kind,
            held=candidate.name in held,
            requires_reboot=name in _REBOOT_NAMES or name.startswith(_REBOOT_PREFIXES),
        )

    def _simulate(self, arguments: Sequence[str]) -> Simulation:
        return parse_simulation(self._call([*_SIMULATE, *arguments]).text)

    def _policies(self, names: Sequence[str]) -> dict[str, Policy]:
        found: dict[str, Policy] = {}
        for start in range(0, len(names), _NAMES_PER_CALL):
            part = names[start : start + _NAMES_PER_CALL]
            found |= parse_policy(self._call(["apt-cache", "policy", "--", *part]).text)
        return found

    def _refreshed_at(self) -> str | None:
        lists = "/var/lib/apt/lists"
        stamps = [
            f"{lists}/{name}" for name in self._files.names(lists) if name.endswith("Release")
        ]
        stamps.append("/var/lib/apt/periodic/update-success-stamp")
        times = [at for at in map(self._files.modified_at, stamps) if at is not None]
        return format_instant(from_unix(int(max(times)))) if times else None

    def _call(self, argv: Sequence[str], *, timeout_s: float = _LIST_TIMEOUT_S) -> Outcome:
        outcome = self._started(argv, timeout_s=timeout_s)
        if outcome.exit_code != 0:
            raise classify(outcome.exit_code, outcome.error_text)
        return outcome

    def _started(self, argv: Sequence[str], *, timeout_s: float, grace_s: float = 0.0) -> Outcome:
        try:
            return self._run(
                argv, timeout_s=timeout_s, env=_QUIET | self._env,
                overflow="tail" if grace_s else "fail", grace_s=grace_s,
            )  # fmt: skip
        except CommandTimeout as error:
            raise ProviderError("patch-timeout", error.message, state="timeout") from error
        except CommandOverflow as error:
            raise ProviderError("patch-failed", error.message) from error


def _pins(updates: Iterable[Update]) -> list[str]:
    return [f"{update.id}={update.available}" for update in updates]
