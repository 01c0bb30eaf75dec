"""Debian's and Ubuntu's package manager as a patch provider.

It only drives apt-get, apt-cache, apt-mark and dpkg-query; reading what they print is
`apt_output`'s part.  Listing simulates (`apt-get -s`), which needs neither root nor a lock.
Applying names every package with its version, as planned, and never lets apt choose anew.
Rolling back names the versions from before, out of an archive or out of apt's own cache.
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
    PACKAGE_NAME,
    Kind,
    PatchList,
    Plan,
    ProviderError,
    Update,
    choose,
)
from farhand_agent.patches.registry import provider
from farhand_agent.patches.stepwise import APPLY_TIMEOUT_S, REFRESH_TIMEOUT_S, StepwiseProvider
from farhand_agent.platforms.commands import Outcome, Runner, installed, run
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["AptProvider"]

_SIMULATE: Final = (
    "apt-get", "-s", "-q",
    "-o", "Debug::NoLocking=true",
    "-o", "APT::Get::Show-User-Simulation-Note=false",
)  # fmt: skip
_APPLY: Final = (
    "apt-get", "-y", "-q",
    "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
    "-o", "Dpkg::Use-Pty=0",
)  # fmt: skip
# needrestart only lists, it never restarts services behind a technician's back.
_QUIET: Final = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
_NAMES_PER_CALL: Final = 500
_REBOOT_NAMES: Final = frozenset(
    ["libc6", "systemd", "dbus", "dbus-broker", "udev", "intel-microcode", "amd64-microcode"]
)
_REBOOT_PREFIXES: Final = ("linux-image-", "linux-firmware")
_DISTRIBUTIONS: Final = ("Debian", "Ubuntu")


@provider
class AptProvider(StepwiseProvider):
    """apt, on the system or in a scratch root.

    Args:
        runner: starts commands.
        files: where lists and markers lie.
        env: more variables for every command; APT_CONFIG and DPKG_ADMINDIR name a scratch root.
        options: program to arguments that stand right behind it.
        lock_wait_s: how long apply waits for another package manager.
    """

    name = "apt"

    def __init__(
        self,
        runner: Runner = run,
        files: SystemFiles | None = None,
        env: Mapping[str, str] | None = None,
        *,
        options: Mapping[str, Sequence[str]] | None = None,
        lock_wait_s: int = 600,
    ) -> None:
        super().__init__(runner, files, options=options, env=_QUIET | dict(env or {}))
        self._lock_wait_s = lock_wait_s

    def present(self) -> bool:
        """Return whether apt rules this system."""
        return installed("apt-get") and self._files.path("/var/lib/dpkg/status").exists()

    def refresh(self) -> None:
        """Fetch the indexes anew; one that fails is an error, which plain apt-get would hide.

        Raises:
            ProviderError: as classified by `apt_output.classify`.
        """
        self._asked(
            ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"],
            timeout_s=REFRESH_TIMEOUT_S,
        )

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand.

        Raises:
            ProviderError: as classified by `apt_output.classify`.
        """
        simulation = self._simulate(["dist-upgrade"])
        held = set(self._asked(["apt-mark", "showhold"]).text.split())
        kept = dict.fromkeys([*simulation.kept_back, *simulation.phased, *sorted(held)])
        present = {candidate.name for candidate in simulation.installs}
        kept_names = [name for name in kept if name not in present and PACKAGE_NAME.fullmatch(name)]
        labels = parse_release_labels(self._asked(["apt-cache", "policy"]).text)
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

    def repair(self) -> None:
        """Finish what an interrupted dpkg left behind, then let apt mend what is missing.

        Raises:
            ProviderError: as classified, `patch-locked` while another one is at work.
        """
        self._asked(
            ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"],
            timeout_s=APPLY_TIMEOUT_S,
        )
        self._asked(
            [*_APPLY, "--no-remove", *self._patience(), "--fix-broken", "install"],
            timeout_s=APPLY_TIMEOUT_S,
        )

    def _install(self, plan: Plan) -> Outcome:
        # New dependencies come in by themselves: --only-upgrade would skip them if named.
        named = [update for update in plan.updates if update.installed]
        refused = () if plan.removals else ("--no-remove",)
        return self._marked(plan, ["--only-upgrade", *refused, "install", "--", *_pins(named)])

    def _downgrade(self, plan: Plan) -> Outcome:
        named = [self._cached(update) or _pin(update) for update in plan.updates]
        outcome = self._marked(plan, ["--allow-downgrades", "--no-remove", "install", "--", *named])
        if outcome.exit_code and self._refusal(outcome).code == "patch-unknown-update":
            raise ProviderError(
                "patch-no-rollback",
                "apt: no archive has the version from before any more",
                detail=outcome.error_text[-500:],
                tool_exit_code=outcome.exit_code,
            )
        return outcome

    def _marked(self, plan: Plan, arguments: Sequence[str]) -> Outcome:
        # Naming a package marks it as wanted by a person; give it back its place, or autoremove
        # would never clean it up again.
        automatic = set(self._asked(["apt-mark", "showauto"]).text.split())
        outcome = self._changing(
            [*_APPLY, *self._patience(), *arguments],
            timeout_s=APPLY_TIMEOUT_S + self._lock_wait_s,
        )
        again = [update.id for update in plan.updates if update.id in automatic]
        if again and outcome.exit_code == 0:
            self._asked(["apt-mark", "-q", "auto", "--", *again])
        return outcome

    def _cached(self, update: Update) -> str | None:
        """Return apt's own copy of a package file, None where it has none."""
        folder = "/var/cache/apt/archives"
        name, _, arch = update.id.partition(":")
        start = f"{name}_{update.available.replace(':', '%3a')}_"
        for file in self._files.names(folder):
            if file.startswith(start) and file.endswith(f"{arch}.deb"):
                return str(self._files.path(f"{folder}/{file}"))
        return None

    def _patience(self) -> tuple[str, str]:
        return ("-o", f"DPkg::Lock::Timeout={self._lock_wait_s}")

    def _installed(self, updates: Sequence[Update]) -> Mapping[str, Sequence[str]]:
        query = "${binary:Package}\t${Package}\t${Version}\t${db:Status-Status}\n"
        versions: dict[str, tuple[str]] = {}
        for line in self._asked(["dpkg-query", "-W", f"-f={query}"]).text.split("\n"):
            fields = line.split("\t")
            if len(fields) == 4 and fields[3] == "installed":
                versions.setdefault(fields[1], (fields[2],))
                versions[fields[0]] = (fields[2],)
        return versions

    def _refusal(self, outcome: Outcome) -> ProviderError:
        return classify(outcome.exit_code, outcome.error_text)

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
        return parse_simulation(self._asked([*_SIMULATE, *arguments]).text)

    def _policies(self, names: Sequence[str]) -> dict[str, Policy]:
        found: dict[str, Policy] = {}
        for start in range(0, len(names), _NAMES_PER_CALL):
            part = names[start : start + _NAMES_PER_CALL]
            found |= parse_policy(self._asked(["apt-cache", "policy", "--", *part]).text)
        return found

    def _refreshed_at(self) -> str | None:
        lists = "/var/lib/apt/lists"
        stamps = [
            f"{lists}/{name}" for name in self._files.names(lists) if name.endswith("Release")
        ]
        stamps.append("/var/lib/apt/periodic/update-success-stamp")
        times = [at for at in map(self._files.modified_at, stamps) if at is not None]
        return format_instant(from_unix(int(max(times)))) if times else None


def _pin(update: Update) -> str:
    return f"{update.id}={update.available}"


def _pins(updates: Iterable[Update]) -> list[str]:
    return [_pin(update) for update in updates]
