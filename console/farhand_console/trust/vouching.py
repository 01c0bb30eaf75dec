"""Devices that an admin vouched for stay confirmed when that admin's key goes.

A device is confirmed by a statement that an admin of the roster signed.  When a key leaves the
roster, what it signed counts no more, and every device that came in by its tokens would be
unconfirmed at once.  So whoever signs the new roster looks at the devices under the old one and
puts those that would be lost into `groups.json`, with the group they are in: its admin's own word
for a key, since a device's id is the hash of its key.
"""

from __future__ import annotations

import copy
from typing import Any

from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Device
from farhand_console.trust.ceremonies import admin_keys, placed
from farhand_console.trust.devices import DeviceCheck
from farhand_console.trust.signing import Change
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError
from farhand_protocol.trust import ROSTER_PATH, Roster, decode_document

__all__ = ["keep_devices"]


def keep_devices(relay: Relay, trust: VerifiedTrust, change: Change) -> Change:
    """Return a change of the roster under which no device is lost that is confirmed now.

    Args:
        relay: asked for every device, one by one.
        trust: verified metadata, as they are before the change.
        change: with a new roster or without.
    """
    body = change.files.get(ROSTER_PATH)
    if body is None:
        return change
    roster = decode_document(body, Roster)
    if admin_keys(trust.roster.operators) <= admin_keys(roster.operators):
        return change
    after = copy.copy(trust)
    after.roster = roster
    groups = _lost(relay, DeviceCheck(trust), DeviceCheck(after))
    if not groups:
        return change
    return Change({**change.files, **placed(trust, groups).files}, change.root)


def _lost(relay: Relay, before: DeviceCheck, after: DeviceCheck) -> dict[str, str]:
    groups: dict[str, str] = {}
    for listed in relay.pages("/devices", Device, q="kind:agent"):
        told = relay.get(segments("devices", listed.id), dict[str, Any])
        try:
            device = before.check(told)
        except FarhandError:
            continue  # it is not confirmed now either
        if device.id == listed.id and not _stands(after, told):
            groups[device.id] = device.group
    return groups


def _stands(check: DeviceCheck, told: dict[str, Any]) -> bool:
    try:
        check.check(told)
    except FarhandError:
        return False
    return True
