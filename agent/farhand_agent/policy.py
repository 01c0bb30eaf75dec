"""What this device allows: signed policy and the device's own, whichever is stricter.

`policy.toml` in the home has the fields of `farhand_protocol.trust.GroupPolicy`; a field that it
does not name leaves the signed policy as it is.  Each side can only narrow the other.  A file that
cannot be read allows nothing.  `people` stands in that file alone: who counts as a person at this
computer (people/persons.py).  Announcing a change is the daemon's work; this module is pure but
for reading the file.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

import msgspec

from farhand_agent.config import Home, read_limited
from farhand_agent.trust.verified import Verified, load_verified
from farhand_protocol.complaints import plain_reason
from farhand_protocol.errors import FarhandError
from farhand_protocol.hours import common_hours
from farhand_protocol.trust import MAX_CONSENT_S, SCOPES, GroupPolicy, check_rules

__all__ = [
    "MAX_PEOPLE",
    "NOTHING",
    "SERVED_SCOPES",
    "WIDE_SCOPES",
    "effective_policy",
    "load_own",
    "merge",
    "own_people",
    "policy_digest",
    "policy_words",
]

# What this version of the session host can serve; a scope that nobody serves is never granted.
SERVED_SCOPES: Final = SCOPES

# These reach beyond what a person can follow on her screen; they open only after the cool-down.
WIDE_SCOPES: Final = frozenset({"forward", "screen", "control", "clipboard", "desktop"})

NOTHING = GroupPolicy(
    attended=False,
    unattended=False,
    scopes=[],
    risks=[],
    minutes_max=0,
    inventory_personal=False,
    break_glass=False,
)
_MAX_POLICY_BYTES = 64 * 1024
MAX_PEOPLE: Final = 100
_People = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=100)]],
    msgspec.Meta(max_length=MAX_PEOPLE),
]
_RECORDING = ("off", "on", "required")
_STALL = ("flag", "stop")


def load_own(home: Home) -> dict[str, Any]:
    """Return the fields that policy.toml sets, checked; empty when there is no file.

    Raises:
        FarhandError: `policy-malformed`.
    """
    return _read(home)[0]


def own_people(home: Home) -> list[str] | None:
    """Return whom policy.toml names as the people of this computer; None where it names nobody.

    Raises:
        FarhandError: `policy-malformed`.
    """
    return _read(home)[1]


def _read(home: Home) -> tuple[dict[str, Any], list[str] | None]:
    try:
        fields = tomllib.loads(read_limited(home.policy, _MAX_POLICY_BYTES).decode())
        people = msgspec.convert(fields.pop("people", None), _People | None)
        checked = msgspec.convert(fields, GroupPolicy)
        check_rules(checked)
    except FileNotFoundError:
        return {}, None
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        msgspec.ValidationError,
        FarhandError,
    ) as error:
        raise FarhandError(
            "policy-malformed",
            f"policy.toml is not valid, so this device allows nothing: {plain_reason(error)}",
            hint="correct the file or remove it",
        ) from error
    unknown = [scope for scope in checked.scopes if scope not in SCOPES]
    if unknown:
        raise FarhandError(
            "policy-malformed", f"policy.toml names an unknown scope: {unknown[0]!r}"
        )
    if any(not root.startswith("/") or ".." in root.split("/") for root in checked.files_roots):
        raise FarhandError("policy-malformed", "policy.toml: files_roots must be absolute paths")
    return {name: getattr(checked, name) for name in fields}, people


def merge(signed: GroupPolicy, own: dict[str, Any]) -> GroupPolicy:
    """Return the stricter of both, field by field."""

    def narrowed(name: str, mine: list[str]) -> list[str]:
        return [one for one in mine if name not in own or one in own[name]]

    scopes = narrowed("scopes", signed.scopes)
    roots = signed.files_roots
    if own.get("files_roots"):
        roots = _common_roots(signed.files_roots, own["files_roots"])
        if not roots:
            # An empty list would mean the whole file system.
            scopes = [scope for scope in scopes if scope != "files"]
    asks = "ask" in (signed.consent, own.get("consent", "notify"))
    hours = common_hours(signed.hours, own.get("hours", []))
    sizes = [
        size for size in (signed.file_bytes_max, own.get("file_bytes_max")) if size is not None
    ]
    return GroupPolicy(
        attended=signed.attended and own.get("attended", True),
        # No hours in common is no time at all; an empty list would mean always.
        unattended=signed.unattended and own.get("unattended", True) and hours is not None,
        consent="ask" if asks else "notify",
        scopes=scopes,
        minutes_max=min(signed.minutes_max, own.get("minutes_max", signed.minutes_max)),
        files_roots=roots,
        files_read_only=signed.files_read_only or own.get("files_read_only", False),
        forward_to=narrowed("forward_to", signed.forward_to),
        risks=[r for r in signed.risks if "risks" not in own or r in own["risks"]],
        recording=max(signed.recording, own.get("recording", "off"), key=_RECORDING.index),
        audit_keys=[
            *signed.audit_keys,
            *(key for key in own.get("audit_keys", []) if key not in signed.audit_keys),
        ],
        consent_s=min(signed.consent_s, own.get("consent_s", signed.consent_s)),
        cool_down_s=max(signed.cool_down_s, own.get("cool_down_s", 0)),
        file_bytes_max=min(sizes, default=None),
        hours=hours or [],
        tier_min=max(signed.tier_min, own.get("tier_min", 1)),
        approvals=max(signed.approvals, own.get("approvals", 0)),
        second_operator=signed.second_operator or own.get("second_operator", False),
        recording_input=signed.recording_input or own.get("recording_input", False),
        recording_stall=max(
            signed.recording_stall, own.get("recording_stall", "flag"), key=_STALL.index
        ),
        recording_days=min(signed.recording_days, own.get("recording_days", signed.recording_days)),
        inventory_sections=narrowed("inventory_sections", signed.inventory_sections),
        inventory_personal=signed.inventory_personal and own.get("inventory_personal", True),
        schedules=narrowed("schedules", signed.schedules),
        probe_to=narrowed("probe_to", signed.probe_to),
        lab=signed.lab and own.get("lab", True),
        break_glass=signed.break_glass and own.get("break_glass", True),
    )


def _common_roots(signed: list[str], own: list[str]) -> list[str]:
    if not signed:
        return list(own)
    mine, theirs = [PurePosixPath(one) for one in own], [PurePosixPath(one) for one in signed]
    kept = [one for one in mine if any(one.is_relative_to(other) for other in theirs)]
    kept += [one for one in theirs if any(one.is_relative_to(other) for other in mine)]
    return [str(one) for one in dict.fromkeys(kept)]


def effective_policy(home: Home, group: str, trust: Verified | None = None) -> GroupPolicy:
    """Return what this device allows right now.

    Args:
        home: of the device.
        group: of the device; anything for a guest.
        trust: verified trust at hand; read from the home where it is None.

    A device that was enrolled and has no verified trust allows nothing, and so does one whose
    policy.toml cannot be read.
    """
    try:
        own = load_own(home)
    except FarhandError:
        return NOTHING
    if trust is None:
        trust = load_verified(home)
    if trust is None:
        return NOTHING if home.is_enrolled else merge(GroupPolicy(), own)
    return merge(trust.policy.for_group(group), own)


def policy_digest(policy: GroupPolicy) -> str:
    """Return a digest by which a change is noticed."""
    return hashlib.sha256(msgspec.json.encode(policy, order="sorted")).hexdigest()


def policy_words(policy: GroupPolicy) -> list[str]:
    """Say a policy in sentences for the person in front of the device.

    Scopes that this agent does not serve are left out: nobody can use them here.
    """
    if not policy.attended and not policy.unattended:
        sessions = "no technician may open a session on this device"
    elif policy.unattended and policy.consent == "notify":
        sessions = "technicians may open sessions without asking; you are told"
    elif policy.unattended:
        sessions = "technicians may ask for a session; it opens only when somebody here agrees"
    else:
        sessions = "a session needs a code that somebody here gave away, and their consent"
    words = [sessions]
    served = [scope for scope in policy.scopes if scope in SERVED_SCOPES]
    if not policy.forward_to:
        served = [scope for scope in served if scope != "forward"]  # it would lead nowhere
    if served:
        words.append(f"a session may use: {', '.join(served)}")
        words.append(f"a session lasts {policy.minutes_max} minutes at most")
    else:
        words.append("a session may use nothing")
    if "files" in policy.scopes:
        where = ", ".join(policy.files_roots) or "all files its user may reach"
        words.append(f"files: {where}{' (reading only)' if policy.files_read_only else ''}")
        if policy.file_bytes_max is not None:
            words.append(f"a file of a session has {policy.file_bytes_max} bytes at most")
    if "forward" in served:
        words.append(f"forwarding: {', '.join(policy.forward_to)}")
    if set(served) & WIDE_SCOPES and policy.cool_down_s:
        wide = ", ".join(scope for scope in served if scope in WIDE_SCOPES)
        words.append(
            f"what reaches far ({wide}) opens only {policy.cool_down_s} seconds after"
            " somebody agreed"
        )
    if policy.consent_s < MAX_CONSENT_S:
        words.append(f"a question stands for {policy.consent_s} seconds; no answer means no")
    words += _unattended_words(policy)
    if policy.second_operator:
        words.append("nothing opens before a second technician is there as well")
    words.append(
        f"approved scripts may run at risk: {', '.join(policy.risks)}"
        if policy.risks
        else "no script may run"
    )
    if policy.risks and policy.lab:
        words.append("scripts that nobody approved yet may be tried here by their authors")
    if policy.risks and not policy.break_glass:
        words.append("no emergency order may run here")
    words.append(f"recording of sessions: {policy.recording}")
    if policy.recording != "off":
        typed = "what is typed is recorded too" if policy.recording_input else "typing is left out"
        stalled = "ends the session" if policy.recording_stall == "stop" else "is noted"
        words.append(f"recordings: {typed}; one that cannot go on {stalled}")
        words.append(f"recordings are kept for {policy.recording_days} days")
    if not policy.inventory_personal:
        words.append("its inventory tells no serial numbers, names and addresses")
    if policy.inventory_sections:
        words.append(f"its inventory also tells: {', '.join(policy.inventory_sections)}")
    words += [f"this device does by itself: {line}" for line in policy.schedules]
    if policy.probe_to:
        words.append(f"its checks may be pointed at: {', '.join(policy.probe_to)}")
    return words


def _unattended_words(policy: GroupPolicy) -> list[str]:
    if not policy.unattended:
        return []
    words = []
    if policy.hours:
        words.append(f"without a code only at these hours: {'; '.join(policy.hours)}")
    if policy.tier_min > 1:
        words.append(f"without a code only technicians of tier {policy.tier_min} and above")
    if policy.approvals:
        words.append(f"without a code only with the approval of {policy.approvals} others")
    return words
