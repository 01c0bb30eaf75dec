"""The interface of a patch provider, and what providers answer with.

A provider wraps one package manager: refresh -> list -> plan -> apply -> verify -> reboot state,
and rollback where the package manager has a way back.  Everything but `refresh`, `apply` and
`rollback` only reads.  `unknown` is a legal kind and severity: many sources carry no security
label, and "not labelled" must never read as "no security updates".  A provider is added by one
module in this package that decorates its class with `provider`; most build on `StepwiseProvider`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from farhand_protocol.errors import FarhandError

__all__ = [
    "LOG_TAIL_BYTES",
    "PACKAGE_NAME",
    "UNVERSIONED",
    "ApplyResult",
    "Change",
    "Kind",
    "PatchList",
    "PatchProvider",
    "Plan",
    "ProviderError",
    "Reboot",
    "Scope",
    "Severity",
    "State",
    "Update",
    "bounded",
    "choose",
]

State = Literal["ok", "unsupported", "denied", "timeout", "error", "locked"]
Kind = Literal["security", "bugfix", "enhancement", "unknown"]
Severity = Literal["critical", "important", "moderate", "low", "unknown"]
# What a provider rules: the system itself, applications beside it, or libraries of one language.
Scope = Literal["system", "applications", "languages"]

LOG_TAIL_BYTES: Final = 64 * 1024
# Stands for the version before where there is none: an update that is no package's, or a program
# that does not tell its own.
UNVERSIONED: Final = "-"
_MAX_UPDATES: Final = 20_000
_MAX_TEXT_CHARS: Final = 300
_MAX_WORDS: Final = 100
# What may stand in an argument of a package manager: starts with a letter or digit, so that no
# name out of a repository can ever be read as an option.
PACKAGE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:~^@-]{0,199}")


class ProviderError(FarhandError):
    """The package manager did not do what it was asked.

    Args:
        code: one of the `patch-*` codes.
        message: words for a technician.
        state: what the provider's report shows for it.
        retryable: whether the same call may succeed later without anyone changing anything.
        log_tail: the last of what the package manager printed.
        tool_exit_code: the raw one, None where no process ended.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        state: State = "error",
        retryable: bool = False,
        log_tail: str = "",
        tool_exit_code: int | None = None,
    ) -> None:
        super().__init__(code, message, hint=hint, detail=detail)
        self.state = state
        self.retryable = retryable
        self.log_tail = log_tail
        self.tool_exit_code = tool_exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One package for which a newer version is known.

    `id` is what `plan` takes; `installed` is "" for a package that would come in new, and
    `UNVERSIONED` where there is no version before.
    `held` means a person pinned it; `phased` that the distribution has not reached this device;
    `kept_back` that the package manager will not install it by itself, for its dependencies.
    """

    id: str
    name: str
    installed: str
    available: str
    arch: str = ""
    origin: str = ""
    kind: Kind = "unknown"
    severity: Severity = "unknown"
    held: bool = False
    phased: bool = False
    kept_back: bool = False
    requires_reboot: bool = False
    advisories: tuple[str, ...] = ()
    cves: tuple[str, ...] = ()
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """Whether the system waits for a restart: True, False, or None where nobody can know.

    `since` is RFC 3339 UTC, where it is known since when.
    """

    required: bool | None
    reasons: tuple[str, ...] = ()
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchList:
    """What a provider knows.  Only with status `ok` do no updates mean "no updates".

    `security_labelled` is False where the sources carry no security label, so that no security
    updates in the list says nothing; `refreshed_at` is RFC 3339 UTC or None.  `exit_code` and
    `log_tail` are there when the package manager failed.
    """

    provider: str
    status: State
    scope: Scope = "system"
    reason: str = ""
    updates: tuple[Update, ...] = ()
    reboot: Reboot = field(default_factory=lambda: Reboot(required=None))
    security_labelled: bool = False
    refreshed_at: str | None = None
    exit_code: int | None = None
    log_tail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the object that `farhand-agent patches --json` shows."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `apply` would do: exactly these packages at these versions.

    `removals` are packages that the package manager would remove along the way; `apply` refuses a
    plan with any unless it is told otherwise.
    """

    provider: str
    updates: tuple[Update, ...]
    removals: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One package that went from a version to another; what a way back starts from.

    `before` is "" for a package that came in new.
    """

    id: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What became of a plan: per update id, plus the raw exit code and the last of the output.

    `outcome` is the exit code in one language for all package managers: what counts is what is
    installed afterwards, since each of them has its own idea of success.
    """

    provider: str
    exit_code: int
    done: tuple[str, ...]
    failed: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    reboot: Reboot
    log_tail: str

    @property
    def outcome(self) -> Literal["done", "partly", "failed", "nothing"]:
        """Whether the plan was carried out whole, in part, not at all, or was empty."""
        if self.failed:
            return "partly" if self.done else "failed"
        return "done" if self.done else "nothing"

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self) | {"outcome": self.outcome}


class PatchProvider(Protocol):
    """One package manager."""

    @property
    def name(self) -> str:
        """Short name: apt, dnf, yum."""

    @property
    def scope(self) -> Scope:
        """What it rules."""

    @property
    def by_default(self) -> bool:
        """Whether it is asked without being named."""

    def present(self) -> bool:
        """Return whether this package manager rules this system."""

    def refresh(self) -> None:
        """Fetch the repositories' indexes anew.

        Raises:
            ProviderError: as classified.
        """

    def list(self) -> PatchList:
        """Return the updates known from the indexes at hand, without network and without a lock.

        Raises:
            ProviderError: as classified.
        """

    def plan(self, ids: Sequence[str] | None, *, security_only: bool = False) -> Plan:
        """Return what applying these updates (None: all that are not held) would do.

        Raises:
            ProviderError: `patch-unknown-update` for an id that is not in the list, and as
                classified.
        """

    def apply(self, plan: Plan, *, allow_removals: bool = False) -> ApplyResult:
        """Install what the plan says and verify it.  Not to be killed: takes as long as it takes.

        Raises:
            ProviderError: `patch-would-remove`, and as classified.
        """

    def verify(self, plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids that are installed as planned, and those that are not."""

    def rollback(self, changes: Sequence[Change]) -> ApplyResult:
        """Bring back the versions from before; what came in new stays.

        Raises:
            ProviderError: `patch-no-rollback` where there is no way back or the old version is not
                at hand, and as classified.
        """

    def repair(self) -> None:
        """Finish what an interrupted run left behind.

        Raises:
            ProviderError: `patch-failed` where there is nothing to repair with, and as classified.
        """

    def reboot_state(self) -> Reboot:
        """Return whether the system waits for a restart."""


def choose(
    updates: Iterable[Update], ids: Sequence[str] | None, *, security_only: bool
) -> tuple[Update, ...]:
    """Return the updates that a plan is about.

    Args:
        updates: as listed.
        ids: the wanted ones, or None for all that nobody holds back.
        security_only: leave out what is not labelled as security.

    Raises:
        ProviderError: `patch-unknown-update` for an id that is not listed.
    """
    known = {update.id: update for update in updates}
    if ids is None:
        chosen = [
            u for u in known.values() if u.installed and not (u.held or u.phased or u.kept_back)
        ]
    else:
        missing = [name for name in ids if name not in known]
        if missing:
            raise ProviderError(
                "patch-unknown-update", f"no update is known for {missing[0][:100]!r}"
            )
        chosen = [known[name] for name in dict.fromkeys(ids)]
    return tuple(u for u in chosen if not security_only or u.kind == "security")


def bounded(found: PatchList) -> PatchList:
    """Return a list for showing and sending in which no text and no tuple is without end.

    Names that reach a package manager again are bounded where they are read (`PACKAGE_NAME`).
    """

    def cut(text: str) -> str:
        return text[:_MAX_TEXT_CHARS]

    def words(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(cut, texts[:_MAX_WORDS]))

    return replace(
        found,
        reason=cut(found.reason),
        reboot=replace(found.reboot, reasons=words(found.reboot.reasons)),
        updates=tuple(
            replace(
                one,
                id=cut(one.id),
                name=cut(one.name),
                installed=cut(one.installed),
                available=cut(one.available),
                arch=cut(one.arch),
                origin=cut(one.origin),
                advisories=words(one.advisories),
                cves=words(one.cves),
            )
            for one in found.updates[:_MAX_UPDATES]
        ),
    )
