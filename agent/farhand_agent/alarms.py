"""What somebody should look at on this device; the journal keeps it, `status` shows it.

    device-key-conflict   the relay saw this device's key on two links at once: it was copied
    relay-audit-broken    the relay's audit went back behind what it had shown, or was rewritten
    device-revoked        the organisation revoked this device's key
    break-glass           two people had a script run in an emergency that was not approved

An alarm is raised once, with its record in the device's log, and stays until the device enrols
again with a new key.  Each emergency order has its own record in that log.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.journal import Journal

__all__ = ["alarms", "raise_alarm"]

_WORDS: Final = {
    "device-key-conflict": "another machine uses the key of this device; tell your administrator",
    "relay-audit-broken": "the relay's record of what was done went back; tell your administrator",
    "device-revoked": "the organisation revoked this device's key; it does nothing any more",
    "break-glass": "an emergency order ran a script here that was not approved; the log says whose",
}


def raise_alarm(journal: Journal, code: str, at: str) -> str | None:
    """Journal an alarm; return its words when it is new."""
    if journal.meta(code) is not None:
        return None
    journal.set_meta(code, at, kind=code)
    return _WORDS[code]


def alarms(journal: Journal) -> list[dict[str, Any]]:
    """Return what was raised: code, words, and since when."""
    return [
        {"code": code, "at": at, "words": words}
        for code, words in _WORDS.items()
        if (at := journal.meta(code)) is not None
    ]
