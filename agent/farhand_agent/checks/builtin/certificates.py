"""Checks of certificates: which end soon, and authorities that somebody added."""

from __future__ import annotations

import re
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unknown,
    unsupported,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = ["added_authorities", "certificate_ends"]

# Signed the private keys of others: Superfish, eDellRoot, DSDTestProvider.
_KNOWN_BAD: Final = re.compile(r"superfish|edellroot|dsdtestprovider|komodia|privdog", re.I)
_HASHES: Final = "^[0-9a-fA-F][0-9a-fA-F,]{0,1000}$"


@check(
    "cert.expiry",
    "Certificates that end",
    unit="days",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(30, 7, rising=False)},
    advice="renew the certificate and let its service read it again",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "The certificates of this device are valid for a while yet.",
        "warning": (
            "A certificate of this device ends in {n} day.",
            "A certificate of this device ends in {n} days.",
        ),
        "critical": "A certificate of this device is about to end or has ended. "
        "Secure connections to it will be refused.",
        "unsupported": "This device has no certificates of its own.",
    },
)
def certificate_ends(context: CheckContext) -> Finding:
    """Days until the first of this device's own certificates ends; authorities do not count."""
    soonest: tuple[float, str, str] | None = None
    count = unread = 0
    for one in context.section("certificates"):
        # A machine's certificate is one with its key, or one that is neither CA nor a root.
        if one.get("authority") or one.get("has_private_key") is False:
            continue
        try:
            ends = parse_instant(str(one.get("not_after"))).timestamp()
        except FarhandError:
            unread += 1
            continue
        count += 1
        days = (ends - context.now()) / 86400
        if soonest is None or days < soonest[0]:
            soonest = (days, str(one.get("subject")), str(one.get("store")))
    blind = f"{unread} without an end that can be read" if unread else ""
    if soonest is None:
        return unknown(blind) if unread else unsupported("no certificates of its own")
    days, subject, store = soonest
    state = context.limit("days").state(days)
    words = f"{subject[:80]} in {store[:60]}: {days:.1f} days of {count}"
    return Finding(
        # One that cannot be read may be the one that ends next: the others do not make it well.
        state="unknown" if unread and state == "ok" else state,
        summary=f"{words}; {blind}" if unread else words,
        value=round(days, 1),
        fill={"n": max(0, int(days))},
    )


@check(
    "cert.root",
    "Authorities that somebody added",
    unit="count",
    platforms=EVERYWHERE,
    words={
        "expected": Word("", _HASHES, "SHA-256 of authorities that may be there, with commas."),
    },
    advice="find out who added the authority; remove it unless the organisation did",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "This device trusts no authority that somebody added.",
        "warning": "Somebody added an authority that this device trusts ({name}). "
        "Whoever holds its key can read secure connections.",
        "critical": "This device trusts an authority that is known to be misused ({name}).",
    },
)
def added_authorities(context: CheckContext) -> Finding:
    """Self-signed authorities beside those that came with the system."""
    expected = {one.lower() for one in context.words("expected")}
    added, bad = [], []
    for one in context.section("certificates"):
        subject = str(one.get("subject"))
        if _KNOWN_BAD.search(subject):
            bad.append(subject)
        elif (
            one.get("authority")
            and one.get("self_signed")
            and _is_added(context, str(one.get("store")))
            and str(one.get("sha256")).lower() not in expected
        ):
            added.append(subject)
    named = bad + added
    return Finding(
        state="critical" if bad else "warning" if added else "ok",
        summary="; ".join(name[:60] for name in named[:4]) or "none added",
        value=len(named),
        fill={"name": named[0] if named else ""},
    )


def _is_added(context: CheckContext, store: str) -> bool:
    # On Windows the store of roots holds the system's own too; there only the known ones tell.
    return context.platform != "windows" and store.lower() not in ("root", "ca", "system roots")
