"""Section `certificates`: the machine's own, and whom it trusts."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.certificate_items import certificate_item, certificates_in
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.json_values import truth

__all__ = ["parse"]

_MAX_ITEMS: Final = 2_000


@windows_section("certificates", parts=("certificates",), personal=("subject", "names"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per certificate and store of the machine."""
    items = []
    unread = 0
    for one in told.rows("certificates")[:_MAX_ITEMS]:
        found, _ = certificates_in(binary(one.get("raw")))
        unread += not found
        for certificate in found:
            item = certificate_item(certificate, f"LocalMachine\\{said(one.get('store'))}")
            items.append(item | {"has_private_key": truth(one.get("HasPrivateKey"))})
    if unread:
        told.note(f"{unread} of them cannot be read")
    return items
