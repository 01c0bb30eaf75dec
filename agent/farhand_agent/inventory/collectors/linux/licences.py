"""Section `licences`: paid support of distributions."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.certificate_items import certificates_in
from farhand_agent.inventory.context import Context, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_pro"]

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ENTITLEMENTS: Final = "/etc/pki/entitlement"


def parse_pro(document: Any) -> list[dict[str, Any]]:
    """Return one item per service of `pro status --format json`.

    Raises:
        Malformed: it is not what pro prints.
    """
    if not isinstance(document, dict):
        raise Malformed("pro")
    attached = document.get("attached") is True
    until = _DATE.match(text(document.get("expires")) or "")
    items = [_item("Ubuntu Pro", "licensed" if attached else "not licensed", until)]
    for one in rows(document.get("services")) if attached else []:
        state = {"enabled": "licensed", "disabled": "not licensed"}.get(str(one.get("status")))
        items.append(_item(f"Ubuntu Pro {text(one.get('name'))}", state, until))
    return items


def _item(product: str, state: str | None, until: re.Match[str] | None) -> dict[str, Any]:
    return {
        "product": product,
        "kind": "subscription",
        "state": state,
        "expires_on": until[0] if until else None,
        "key_tail": None,
    }


@section("licences", platform="linux", personal=("key_tail",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per subscription.

    Raises:
        Unsupported: this distribution has none that is known.
    """
    items: list[dict[str, Any]] = []
    asked = 0
    try:
        items += parse_pro(context.run_json(["pro", "status", "--format", "json"]))
        asked += 1
    except CommandMissing:
        pass  # not Ubuntu, or without its client
    if context.files.path("/etc/rhsm").is_dir():
        asked += 1
        for name in context.files.names(_ENTITLEMENTS):
            if not name.endswith(".pem") or name.endswith("-key.pem"):
                continue
            data = (context.files.text(f"{_ENTITLEMENTS}/{name}") or "").encode()
            for one in certificates_in(data)[0][:1]:
                until = _DATE.match(one.not_valid_after_utc.date().isoformat())
                items.append(_item("Red Hat subscription", "licensed", until))
        if not items:
            items.append(_item("Red Hat subscription", "not licensed", None))
    if not asked:
        raise Unsupported("neither Ubuntu Pro's client nor Red Hat's subscriptions are here")
    return items
