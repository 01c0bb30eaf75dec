"""Section `modems`: mobile broadband and serial modems."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.linux.devices_usb import usb_devices
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_modem", "parse_modem_list"]

_PATH: Final = re.compile(r"/org/freedesktop/ModemManager1/Modem/[0-9]{1,4}")
_MAX_MODEMS: Final = 16
_DRIVERS: Final = frozenset(
    {"cdc_acm", "qmi_wwan", "cdc_mbim", "option", "sierra", "huawei_cdc_ncm"}
)


def parse_modem_list(document: Any) -> list[str]:
    """Return the paths of modems in what `mmcli -L -J` printed.

    Raises:
        Malformed: it is not what mmcli prints.
    """
    listed = document.get("modem-list") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Malformed("mmcli")
    return [one for one in listed if isinstance(one, str) and _PATH.fullmatch(one)][:_MAX_MODEMS]


def parse_modem(document: Any) -> dict[str, Any]:
    """Return the item of what `mmcli -m PATH -J` printed.

    Raises:
        Malformed: it is not what mmcli prints.
    """
    modem = document.get("modem") if isinstance(document, dict) else None
    if not isinstance(modem, dict):
        raise Malformed("mmcli")
    generic = modem.get("generic")
    generic = generic if isinstance(generic, dict) else {}
    network = modem.get("3gpp")
    drivers = generic.get("drivers")

    def told(value: object) -> str | None:
        # mmcli writes "--" for what it does not know.
        words = text(value)
        return None if words == "--" else words

    return {
        "name": told(generic.get("model")),
        "manufacturer": told(generic.get("manufacturer")),
        "model": told(generic.get("model")),
        "device": told(generic.get("primary-port")),
        "driver": told(drivers[0]) if isinstance(drivers, list) and drivers else None,
        "imei": told(network.get("imei")) if isinstance(network, dict) else None,
        "firmware": told(generic.get("revision")),
        "state": told(generic.get("state")),
    }


@section("modems", platform="linux", personal=("imei",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per modem; ModemManager's where it runs, else those that a driver names."""
    try:
        paths = parse_modem_list(context.run_json(["mmcli", "-L", "-J"]))
        return [parse_modem(context.run_json(["mmcli", "-m", path, "-J"])) for path in paths]
    except CommandMissing:
        context.note("without ModemManager: only what USB shows")
    except Malformed:
        context.note("ModemManager does not answer: only what USB shows")
    items = []
    for one in usb_devices(context):
        if drivers := sorted(_DRIVERS.intersection(one["drivers"])):
            items.append(
                {
                    "name": one["product"], "manufacturer": one["vendor"], "model": one["product"],
                    "device": one["address"], "driver": drivers[0], "imei": None,
                    "firmware": None, "state": None,
                }
            )  # fmt: skip
    return items
