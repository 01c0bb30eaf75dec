"""What somebody should look at on this device; the journal keeps it, `status` shows it.

    device-key-conflict   the relay saw this device's key on two links at once: it was copied
    relay-audit-broken    the relay's audit went back behind what it had shown, or was rewritten
    device-revoked        the organisation revoked this device's key
    clock-skew            its time and the relay's are far apart (clock_check.py); taken back again
    break-glass           two people had a script run in an emergency that was not approved

An alarm is raised once, with its record in the device's log, and stays until its cause is over (a
clock) or the device enrols again with a new key.  Each emergency order has its own record there.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.journal import Journal

__all__ = ["alarms", "lower_alarm", "raise_alarm"]

_WORDS: Final = {
    "device-key-conflict": "another machine uses the key of this device; tell your administrator",
    "relay-audit-broken": "the relay's record of what was done went back; tell your administrator",
    "device-revoked": "the organisation revoked this device's key; it does nothing any more",
    "clock-skew": "orders may seem early or expired until the device's time is right",
    "break-glass": "an emergency order ran a script here that was not approved; the log says whose",
}


def raise_alarm(journal: Journal, code: str, at: str, **detail: object) -> str | None:
    """Journal an alarm, with details for the log; return its words when it is new."""
    if journal.meta(code):
        return None
    journal.set_meta(code, at, kind=code, **detail)
    return _WORDS[code]


def lower_alarm(journal: Journal, code: str) -> None:
    """Take an alarm back whose cause is over, with its own record in the log."""
    if journal.meta(code):
        journal.set_meta(code, "", kind=f"{code}-over")


def alarms(journal: Journal) -> list[dict[str, Any]]:
    """Return what was raised: code, words, and since when."""
    return [
        {"code": code, "at": at, "words": words}
        for code, words in _WORDS.items()
        if (at := journal.meta(code))
    ]
