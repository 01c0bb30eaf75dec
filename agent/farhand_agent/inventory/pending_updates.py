"""What the patch providers know, as items of section `updates`: one per provider and per update.

The same on every platform: which providers there are is the providers' matter.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from farhand_agent.inventory.context import Context, Denied, Unsupported
from farhand_agent.patches.command import list_all

__all__ = ["pending_updates"]


def pending_updates(context: Context) -> list[dict[str, Any]]:
    """Return items with `record` provider or update.

    Raises:
        Unsupported: no package manager that is known.
        Denied: every one of them needs more rights.
    """
    found = list_all()
    if not found:
        raise Unsupported("no package manager that is known here")
    if all(one.status == "denied" for one in found):
        raise Denied(found[0].reason)
    items: list[dict[str, Any]] = []
    for one in found:
        items.append(
            {
                "record": "provider",
                "provider": one.provider,
                "status": one.status,
                "reason": one.reason,
                "security_labelled": one.security_labelled,
                "refreshed_at": one.refreshed_at,
                "reboot_required": one.reboot.required,
                "reboot_reasons": list(one.reboot.reasons),
            }
        )
        items += [
            {"record": "update", "provider": one.provider} | asdict(update)
            for update in one.updates
        ]
    return items
