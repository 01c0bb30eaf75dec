"""What the organisation's trust root says: roster, policy, revocations, floors.

Each is a TUF target, canonical JSON, signed through the targets role by the admins' offline keys.
They need no signature of their own.  The relay stores and serves them and can change none.
TUF target paths are fixed here, so that both ends agree.

Permissions are strings: `order`, `author`, `admin`, `approve:read`, `approve:change`,
`approve:destructive`, `approve:session`, `break-glass`, and `session:SCOPE@GROUP` where either part
may be `*`.
"""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.hours import parse_hours
from farhand_protocol.identity import PUBLIC_KEY_BYTES
from farhand_protocol.schedules import parse_schedules

__all__ = [
    "DEFAULT_APPROVALS",
    "FLOORS_PATH",
    "MAX_CONSENT_S",
    "MIN_CONSENT_S",
    "PERMISSIONS",
    "POLICY_PATH",
    "REVOCATIONS_PATH",
    "RISKS",
    "ROSTER_PATH",
    "SCOPES",
    "SHIPPED_AUTHOR",
    "Approval",
    "Floors",
    "GroupPolicy",
    "Operator",
    "Policy",
    "Revocation",
    "Revocations",
    "Risk",
    "Roster",
    "check_rules",
    "decode_document",
    "encode_document",
    "is_permission",
    "manifest_path",
    "may_open",
    "script_path",
]

Risk = Literal["R0", "R1", "R2", "R3"]
RISKS: tuple[Risk, ...] = ("R0", "R1", "R2", "R3")
SCOPES = (
    "view",
    "terminal",
    "files",
    "forward",
    "screen",
    "control",
    "clipboard",
    "desktop",
)

ROSTER_PATH = "roster.json"
POLICY_PATH = "policy.json"
REVOCATIONS_PATH = "revocations.json"
FLOORS_PATH = "floors.json"

PERMISSIONS = (
    "order",
    "author",
    "admin",
    "approve:read",
    "approve:change",
    "approve:destructive",
    "approve:session",
    "break-glass",
)
_SESSION_PERMISSION = re.compile(
    rf"session:(?:\*|{'|'.join(SCOPES)})@(?:\*|[a-z0-9][a-z0-9._-]{{0,63}})\Z"
)

_MAX_DOCUMENT_BYTES = 4 * 1024 * 1024

# A question that stands longer is forgotten; one that stands shorter cannot be read.
MAX_CONSENT_S = 60
MIN_CONSENT_S = 5
_BOUNDS = {
    "consent_s": (MIN_CONSENT_S, MAX_CONSENT_S),
    "cool_down_s": (0, 600),
    "file_bytes_max": (0, 2**53 - 1),
    "tier_min": (1, 9),
    "approvals": (0, 9),
    "recording_days": (1, 36_500),
}
_ORIGIN = re.compile(
    r"(?:https://[a-z0-9.-]{1,253}|https?://(?:127\.0\.0\.1|localhost|\[[0-9a-f:]{2,39}\]))"
    r"(?::[0-9]{1,5})?\Z"
)

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9])?\Z|[0-9a-f:]{2,39}\Z")

# The author of the scripts that come with Farhand (manifest.py); no person may bear this name.
SHIPPED_AUTHOR = "farhand"


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the target documents; `tenant` is the organisation's id."""

    tenant: str


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person the organisation trusts to sign.

    `name` is the account name on the relay; `keys` are raw 32-byte Ed25519 public keys.
    """

    name: str
    keys: list[bytes]
    permissions: list[str]
    tier: int = 1


class Roster(Document, frozen=True, kw_only=True):
    """All operators; a device trusts nobody else."""

    operators: list[Operator]

    def find(self, name: str) -> Operator | None:
        """Return the operator of that name."""
        return next((one for one in self.operators if one.name == name), None)

    def holder(self, public_key: bytes) -> Operator | None:
        """Return the operator who holds this key."""
        return next((one for one in self.operators if public_key in one.keys), None)

    def all_keys(self) -> list[bytes]:
        """Return every key of every operator."""
        return [key for one in self.operators for key in one.keys]


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many people with which permission must approve a script of some risk class."""

    permission: str
    count: int


DEFAULT_APPROVALS: dict[Risk, Approval] = {
    "R0": Approval(permission="approve:read", count=1),
    "R1": Approval(permission="approve:change", count=1),
    "R2": Approval(permission="approve:change", count=2),
    "R3": Approval(permission="approve:destructive", count=2),
}


class GroupPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What devices of one group allow; a device's own policy can only narrow it.

    `consent` is asked on the device: `ask` a person, `notify` without asking (needs
    `unattended`); `consent_s` is how long the question stands before silence means no.
    `files_roots` empty means the whole file system as the session's user sees it, and
    `file_bytes_max` bounds each file that a session reads or writes.  `forward_to` lists
    `host:port` destinations; empty means none.  `forward`, `screen`, `control`, `clipboard` and
    `desktop` open only `cool_down_s` after a person agreed to them; `desktop`, the machine's own
    remote desktop, has to be named to be allowed.

    Of sessions without a code: `hours` are the device's local ones (hours.py; empty means always),
    `tier_min` the least tier of the operator, `approvals` how many other operators must sign each.
    `second_operator`: no scope is open while fewer than two operators are there.

    `recording_input` records what is typed as well; `recording_stall` says what becomes of a
    session whose recording cannot go on; recordings are kept for `recording_days`.

    `inventory_sections` are the opt-in sections of inventory that are collected as well;
    without `inventory_personal` values that say something about a person are withheld.

    `schedules` is what a device does by itself (schedules.py); `probe_to` lists the hosts that its
    checks may be pointed at (exact names and addresses; empty means none).

    On a `lab` device an author may try a script that nobody has approved yet; without `break_glass`
    no emergency order runs (exemptions.py says both).
    """

    attended: bool = True
    unattended: bool = False
    consent: Literal["ask", "notify"] = "ask"
    scopes: list[str] = msgspec.field(
        default_factory=lambda: [scope for scope in SCOPES if scope != "desktop"]
    )
    minutes_max: int = 480
    files_roots: list[str] = msgspec.field(default_factory=list)
    files_read_only: bool = False
    forward_to: list[str] = msgspec.field(default_factory=list)
    risks: list[Risk] = msgspec.field(default_factory=lambda: ["R0", "R1", "R2", "R3"])
    recording: Literal["off", "on", "required"] = "off"
    audit_keys: list[str] = msgspec.field(default_factory=list)
    consent_s: int = MAX_CONSENT_S
    cool_down_s: int = 10
    file_bytes_max: int | None = None
    hours: list[str] = msgspec.field(default_factory=list)
    tier_min: int = 1
    approvals: int = 0
    second_operator: bool = False
    recording_input: bool = False
    recording_stall: Literal["stop", "flag"] = "flag"
    recording_days: int = 365
    inventory_sections: list[str] = msgspec.field(default_factory=list)
    inventory_personal: bool = True
    schedules: list[str] = msgspec.field(default_factory=list)
    probe_to: list[str] = msgspec.field(default_factory=list)
    lab: bool = False
    break_glass: bool = True


class Policy(Document, frozen=True, kw_only=True):
    """Approval thresholds for the organisation and rules per group (`*` is the fallback).

    `relay_origins` are addresses (`https://host[:port]`) besides the token's that a device may be
    told to dial.
    """

    approvals: dict[Risk, Approval]
    groups: dict[str, GroupPolicy]
    relay_origins: list[str] = msgspec.field(default_factory=list)

    def for_group(self, group: str) -> GroupPolicy:
        """Return the rules of a group, else the fallback, else the defaults."""
        return self.groups.get(group) or self.groups.get("*") or GroupPolicy()


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is no longer valid: a script digest or version, or a device key.

    `kind` script: `subject` is the manifest digest (64 hex digits) or `ID` for all versions.
    `kind` device: `subject` is a device id.
    """

    kind: Literal["script", "device"]
    subject: str
    reason: str
    at: str


class Revocations(Document, frozen=True, kw_only=True):
    """Everything revoked; entries are only ever added."""

    revoked: list[Revocation]


class Floors(Document, frozen=True, kw_only=True):
    """Lowest version of each script that a device may still run; these only rise."""

    scripts: dict[str, int]


D = TypeVar("D", bound=Document)


def encode_document(document: Document) -> bytes:
    """Return the canonical JSON bytes that become the TUF target."""
    return msgspec.json.encode(document, order="sorted")


def decode_document(data: bytes, kind: type[D]) -> D:
    """Read a target document.

    A roster or a policy that contradicts itself is refused whole, since a device that picked one
    reading could count one person twice: two operators of one name, one key under two operators,
    an operator named like the author of the shipped scripts, a rule that asks for no approval.

    Raises:
        FarhandError: `trust-malformed` when it is too large, not such a document, or contradicts
            itself.
    """
    if len(data) > _MAX_DOCUMENT_BYTES:
        raise FarhandError("trust-malformed", "a trust document is too large")
    try:
        document = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FarhandError(
            "trust-malformed",
            f"the {kind.__name__.lower()} cannot be read",
            detail=str(error),
        ) from error
    if isinstance(document, Roster):
        _check_roster(document)
    if isinstance(document, Policy):
        _check_policy(document)
    return document


def _check_roster(roster: Roster) -> None:
    names = [one.name for one in roster.operators]
    keys = roster.all_keys()
    if len(set(names)) != len(names) or len(set(keys)) != len(keys):
        raise FarhandError("trust-malformed", "the roster names an operator or a key twice")
    if any(not 1 <= len(name) <= 64 or not name.isprintable() for name in names):
        raise FarhandError("trust-malformed", "the roster holds a name that is not allowed")
    if SHIPPED_AUTHOR in names:
        raise FarhandError("trust-malformed", "the roster names an operator `farhand`")
    if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
        raise FarhandError("trust-malformed", "the roster holds a key of a wrong length")


def _check_policy(policy: Policy) -> None:
    if any(rule.count < 1 for rule in policy.approvals.values()):
        raise FarhandError("trust-malformed", "the policy has a rule that asks for no approval")
    if not all(map(_ORIGIN.match, policy.relay_origins)):
        raise FarhandError(
            "trust-malformed", "the policy names a relay by no address that can be dialled"
        )
    for name, rules in policy.groups.items():
        try:
            check_rules(rules)
        except FarhandError as error:
            raise FarhandError(
                "trust-malformed", f"the policy of group {name[:64]!r}: {error.message}"
            ) from error


def check_rules(rules: GroupPolicy) -> None:
    """Check what the types of a group's rules do not say.

    Raises:
        FarhandError: `rules-malformed` for a number out of bounds or a host that is none,
            `hours-malformed`, `schedule-malformed`.
    """
    for name, (lowest, highest) in _BOUNDS.items():
        value = getattr(rules, name)
        if value is not None and not lowest <= value <= highest:
            raise FarhandError("rules-malformed", f"{name} lies within {lowest} and {highest}")
    if not all(map(_HOST.match, rules.probe_to)):
        raise FarhandError("rules-malformed", "probe_to names a host by no name or address")
    parse_hours(rules.hours)
    parse_schedules(rules.schedules)


def is_permission(text: str) -> bool:
    """Tell whether `text` is a permission that the roster knows."""
    return text in PERMISSIONS or _SESSION_PERMISSION.match(text) is not None


def may_open(operator: Operator, scope: str, group: str) -> bool:
    """Tell whether the roster lets this operator open `scope` on devices of `group`."""
    wanted = {f"session:{s}@{g}" for s in (scope, "*") for g in (group, "*")}
    return not wanted.isdisjoint(operator.permissions)


def manifest_path(script: str, version: int) -> str:
    """Return the TUF target path of a script version's signed manifest."""
    return f"manifests/{script}/{version}.json"


def script_path(sha256: str) -> str:
    """Return the TUF target path of a script body."""
    return f"scripts/{sha256}"
