"""Section `antivirus`: products that look for malware, and how old what they know is."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.defender_health import parse_mdatp
from farhand_agent.inventory.moments import day
from farhand_agent.inventory.presence import Found, Product, look_for
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_clamav_header"]

_PRODUCTS: Final = (
    Product("ClamAV", ("clamav-daemon", "clamav", "clamd"), ("clamd",)),
    Product("Microsoft Defender", ("mdatp",), ("wdavdaemon",), ("/opt/microsoft/mdatp",)),
    Product("CrowdStrike Falcon", ("falcon-sensor",), ("falcon-sensor",), ("/opt/CrowdStrike",)),
    Product("SentinelOne", ("sentinelagent",), ("s1-agent",), ("/opt/sentinelone",)),
    Product("Cortex XDR", ("cortex-agent",), ("pmd",), ("/opt/traps",)),
    Product(
        "Bitdefender", ("bitdefender-security-tools",), ("bdsecd",),
        ("/opt/bitdefender-security-tools",),
    ),
    Product("Sophos", ("sophos-spl",), ("sophos_threat_d",), ("/opt/sophos-spl", "/opt/sophos-av")),
    Product("ESET", ("eea", "efs"), ("oaeventd",), ("/opt/eset",)),
    Product("Trend Micro", ("ds-agent",), ("ds_agent",), ("/opt/ds_agent",)),
    Product("Kaspersky", ("kesl",), ("kesl",), ("/opt/kaspersky",)),
    Product("Trellix", (), ("mfetpd",), ("/opt/McAfee", "/opt/trellix")),
    Product("Carbon Black", (), ("cbagentd",), ("/opt/carbonblack",)),
    Product("rkhunter", ("rkhunter",)),
    Product("chkrootkit", ("chkrootkit",)),
)  # fmt: skip
_DATABASES: Final = tuple(
    f"/var/lib/clamav/{name}" for name in ("daily.cld", "daily.cvd", "main.cvd")
)
# Source: libclamav cvd.c: "ClamAV-VDB:" and fields with colons between them, 512 bytes in all.
_CLAMAV: Final = re.compile(r"ClamAV-VDB:(\d{2} [A-Z][a-z]{2} \d{4}) [^:]*:([0-9]{1,9}):")


def parse_clamav_header(head: str) -> tuple[str | None, str | None]:
    """Return version and day of a ClamAV database from the text that it begins with."""
    found = _CLAMAV.match(head)
    return (found[2], day(found[1], "%d %b %Y")) if found else (None, None)


@section("antivirus", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per product of which there is a sign."""
    return [_item(context, found) for found in look_for(context, _PRODUCTS)]


def _item(context: Context, found: Found) -> dict[str, Any]:
    item = {
        "name": found.product.name,
        "enabled": found.running if found.product.processes else None,
        "up_to_date": None,
        "real_time": None,
        "version": found.version,
        "definitions_version": None,
        "definitions_on": None,
    }
    if found.product.name == "ClamAV":
        for path in _DATABASES:
            version, made_on = parse_clamav_header(_head(context, path))
            if version:
                item |= {"definitions_version": version, "definitions_on": made_on}
                break
    elif found.product.name == "Microsoft Defender":
        try:
            told = parse_mdatp(context.run_json(["mdatp", "health", "--output", "json"]))
            item |= {key: value for key, value in told.items() if value is not None}
        except FarhandError as error:
            context.note(f"mdatp: {error.message}")
    return item


def _head(context: Context, path: str) -> str:
    try:
        with context.files.path(path).open("rb") as file:
            return file.read(512).decode("ascii", "replace")
    except OSError:
        return ""  # this one is not here, or is not for this user
