"""Who can do what, and what expires when: one look at everything that the trust root says.

Nothing here asks or signs; `trust status` shows it.  What needs somebody's attention is a warning,
in words, with the sooner ones first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from farhand_console.scripts import approved
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.exemptions import BREAK_GLASS_PEOPLE
from farhand_protocol.identity import key_fingerprint
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.manifest import Manifest
from farhand_protocol.trust import Operator, Policy

__all__ = ["Overview", "overview", "what_may"]

# So many days before the end it is time; `doctor` says so of the targets as well.
_SOON_DAYS = {"root": 30, "targets": 7, "scripts": 30}
_SCRIPTS_NAMED = 5


class Overview(NamedTuple):
    """What `trust status` tells beside the documents themselves; see `overview`."""

    expires: list[dict[str, Any]]
    approvals: dict[str, dict[str, Any]]
    people: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    unapproved: list[str]
    warnings: list[str]


def overview(trust: VerifiedTrust, *, now: datetime, recovery_here: bool) -> Overview:
    """Return everything in one piece.

    Args:
        trust: verified metadata.
        now: aware.
        recovery_here: whether the recovery key still lies in this console's home.

    Returns:
        `expires`: what, at, days (left, rounded down), state (ok, soon, expired), soonest first.
        `approvals`: by risk class the permission, the count, who holds it, and whether that is
        enough.  `people`: name, tier, may (words), keys (fingerprints).  `groups`: what the policy
        of each lets happen without a person.  `unapproved`: published scripts that the roster and
        policy of now do not approve.
    """
    expires, unapproved = _expiries(trust, now)
    approvals = _approvals(trust)
    people = [
        {
            "name": one.name,
            "tier": one.tier,
            "may": what_may(one, trust.policy),
            "keys": [key_fingerprint(key) for key in one.keys],
        }
        for one in trust.roster.operators
    ]
    groups = [
        {
            "group": name,
            "risks": rules.risks,
            "unattended": rules.unattended,
            "lab": rules.lab,
            "break_glass": rules.break_glass,
            "schedules": len(rules.schedules),
        }
        for name, rules in sorted(trust.policy.groups.items())
    ]
    warnings = [
        *_expiry_warnings(expires),
        *_people_warnings(trust, approvals),
        *([f"{len(unapproved)} published scripts lack an approval now"] if unapproved else []),
        *(["the recovery key still lies in this home: move it away"] if recovery_here else []),
    ]
    return Overview(expires, approvals, people, groups, unapproved, warnings)


def _expiries(trust: VerifiedTrust, now: datetime) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of what expires, and the scripts that are not approved any more."""
    rows = [_row(what, at, now, _SOON_DAYS.get(what, 0)) for what, at in trust.expiries().items()]
    ends: list[tuple[datetime, str]] = []
    unapproved = []
    for script, version in trust.published():
        envelope = trust.manifest(script, version)
        name = f"{script} {version}"
        ends.append((parse_instant(open_payload(envelope, Manifest).expires), name))
        try:
            approved(envelope, trust)
        except FarhandError:
            unapproved.append(name)
    # Of many scripts the first few are named; the rest expires later.
    rows += [
        _row(name, at, now, _SOON_DAYS["scripts"]) for at, name in sorted(ends)[:_SCRIPTS_NAMED]
    ]
    return sorted(rows, key=lambda row: str(row["at"])), unapproved


def _row(what: str, at: datetime, now: datetime, soon_days: int) -> dict[str, Any]:
    days = (at - now).days
    state = "expired" if at <= now else "soon" if days < soon_days else "ok"
    return {"what": what, "at": format_instant(at), "days": days, "state": state}


def _approvals(trust: VerifiedTrust) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for risk, rule in sorted(trust.policy.approvals.items()):
        who = [one.name for one in trust.roster.operators if rule.permission in one.permissions]
        found[risk] = {
            "permission": rule.permission,
            "count": rule.count,
            "who": sorted(who),
            "enough": len(who) >= rule.count,
        }
    return found


def what_may(operator: Operator, policy: Policy) -> list[str]:
    """Return an operator's permissions in words, the widest first."""
    held = set(operator.permissions)
    words = []
    if "admin" in held:
        words.append("sign root and targets")
    if "break-glass" in held:
        words.append("break glass")
    classes = [risk for risk, rule in sorted(policy.approvals.items()) if rule.permission in held]
    if classes:
        words.append(f"approve {', '.join(classes)}")
    for permission, said in (
        ("author", "write scripts"),
        ("order", "order scripts"),
        ("approve:session", "approve sessions"),
    ):
        if permission in held:
            words.append(said)
    sessions = [
        one.removeprefix("session:") for one in operator.permissions if one.startswith("session:")
    ]
    if sessions:
        words.append("open sessions" if "*@*" in sessions else f"open {', '.join(sessions)}")
    return words


def _expiry_warnings(expires: list[dict[str, Any]]) -> list[str]:
    return [
        f"{one['what']} has expired"
        if one["state"] == "expired"
        else f"{one['what']} expires in {one['days']} days"
        for one in expires
        if one["state"] != "ok"
    ]


def _people_warnings(trust: VerifiedTrust, approvals: dict[str, dict[str, Any]]) -> list[str]:
    words = [
        f"{risk} needs {rule['count']} people with {rule['permission']}, and "
        f"{len(rule['who'])} hold it"
        for risk, rule in approvals.items()
        if not rule["enough"]
    ]
    operators = trust.roster.operators
    if sum("admin" in one.permissions for one in operators) == 1:
        words.append("there is one admin: a lost key costs the recovery key")
    glass = [one.name for one in operators if "break-glass" in one.permissions]
    if 0 < len(glass) < BREAK_GLASS_PEOPLE:
        words.append(
            f"break-glass needs {BREAK_GLASS_PEOPLE} people, and {glass[0]} alone holds it"
        )
    return words
