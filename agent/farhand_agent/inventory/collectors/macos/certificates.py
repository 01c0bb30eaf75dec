"""Section `certificates`: of the system's keychain."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.certificate_items import certificate_item, certificates_in
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Malformed

__all__ = ["collect"]

_KEYCHAIN: Final = "/Library/Keychains/System.keychain"
_MAX_ITEMS: Final = 2_000


@macos_section("certificates", personal=("subject", "names"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per certificate.

    Raises:
        Malformed: the answer holds none that can be read.
    """
    answer = context.run(["security", "find-certificate", "-a", "-p", _KEYCHAIN]).stdout
    found, unread = certificates_in(answer)
    if answer.strip() and not found:
        raise Malformed("security find-certificate")
    if unread:
        context.note(f"{unread} of them cannot be read")
    return [certificate_item(one, _KEYCHAIN) for one in found[:_MAX_ITEMS]]
