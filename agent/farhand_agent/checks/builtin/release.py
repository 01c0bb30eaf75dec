"""Check of the system's release: whether its makers still mend it.

The dates are the makers' own, of the releases that were current when this version was made; what is
not in the table is `unknown`, never `ok`.  A system that names the date itself (SUPPORT_END in
os-release(5)) is believed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
)

__all__ = ["SUPPORT_ENDS", "release_support"]

# id of os-release(5) -> version (longest that fits counts) -> last day with security updates for
# everybody, without paid extensions.
SUPPORT_ENDS: Final[dict[str, dict[str, str]]] = {
    "debian": {"9": "2022-06-30", "10": "2024-06-30", "11": "2026-08-31", "12": "2028-06-30",
               "13": "2030-06-30"},
    "ubuntu": {"16.04": "2021-04-30", "18.04": "2023-05-31", "20.04": "2025-05-31",
               "22.04": "2027-04-30", "24.04": "2029-04-30", "24.10": "2025-07-10",
               "25.04": "2026-01-15", "25.10": "2026-07-31"},
    "rhel": {"7": "2024-06-30", "8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
    "centos": {"7": "2024-06-30", "8": "2024-05-31", "9": "2027-05-31", "10": "2030-05-31"},
    "almalinux": {"8": "2029-03-01", "9": "2032-05-31", "10": "2035-05-31"},
    "rocky": {"8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
    "ol": {"7": "2024-12-31", "8": "2029-07-31", "9": "2032-06-30"},
    "fedora": {"40": "2025-05-13", "41": "2025-12-15", "42": "2026-05-13", "43": "2026-12-09"},
    "opensuse-leap": {"15.4": "2023-12-07", "15.5": "2024-12-31", "15.6": "2026-04-30",
                      "16.0": "2027-10-31"},
    "alpine": {"3.18": "2025-05-09", "3.19": "2025-11-01", "3.20": "2026-04-01",
               "3.21": "2026-11-01", "3.22": "2027-05-01"},
    "amzn": {"2": "2026-06-30", "2023": "2029-06-30"},
    "windows": {"10.0.19045": "2025-10-14", "10.0.22621": "2024-10-08", "10.0.22631": "2025-11-11",
                "10.0.26100": "2026-10-13", "10.0.26200": "2027-10-12"},
    "windows-enterprise": {"10.0.19045": "2025-10-14", "10.0.22621": "2025-10-14",
                           "10.0.22631": "2026-11-10", "10.0.26100": "2027-10-12",
                           "10.0.26200": "2028-10-10"},
    "windows-server": {"6.3.9600": "2023-10-10", "10.0.14393": "2027-01-12",
                       "10.0.17763": "2029-01-09", "10.0.20348": "2031-10-14",
                       "10.0.26100": "2034-11-14"},
    "macos": {"12": "2024-09-16", "13": "2025-09-15"},
}  # fmt: skip
# Releases without an end: they are always the newest.
_ROLLING: Final = ("arch", "gentoo", "opensuse-tumbleweed", "void", "nixos")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@check(
    "os.eol",
    "The system is still supported",
    unit="days",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(180, 0, rising=False)},
    advice="plan the upgrade to a supported release",
    risk="R2",
    plain={
        "ok": "The system of this device still gets security updates.",
        "warning": "The system of this device will get no more security updates after {date}.",
        "critical": "The system of this device has got no security updates since {date}. "
        "It should be upgraded.",
        "unknown": "It is not known how long the system of this device gets security updates.",
    },
)
def release_support(context: CheckContext) -> Finding:
    """Days until the makers of the system stop mending it, by a table of their dates."""
    systems = context.section("os")
    system = systems[0] if systems else {}
    name, version = str(system.get("id") or ""), str(system.get("version") or "")
    label = str(system.get("pretty_name") or f"{name} {version}")
    end = _named_end(context) or _table_end(name + _edition(name, label), version)
    if end is None and name in _ROLLING:
        return Finding(state="ok", summary=f"{label} is a rolling release")
    if end is None:
        return unknown(f"no date is known for {label}")
    days = (end - datetime.fromtimestamp(context.now(), UTC).date()).days
    return Finding(
        state=context.limit("days").state(days),
        summary=f"{label}: security updates until {end.isoformat()}",
        value=days,
        fill={"date": end},
    )


def _edition(name: str, label: str) -> str:
    # Windows' builds are the same for all editions, their ends are not.
    if name != "windows":
        return ""
    words = label.lower()
    if "server" in words:
        return "-server"
    return "-enterprise" if "enterprise" in words or "education" in words else ""


def _named_end(context: CheckContext) -> date | None:
    if context.platform != "linux":
        return None
    for name in ("/etc/os-release", "/usr/lib/os-release"):
        found = re.search(
            r'^SUPPORT_END="?([0-9-]{10})"?$', context.files.text(name) or "", re.MULTILINE
        )
        if found and _DATE.fullmatch(found[1]):
            return _date(found[1])
    return None


def _table_end(name: str, version: str) -> date | None:
    known = SUPPORT_ENDS.get(name, {})
    parts = version.split(".")
    for length in range(len(parts), 0, -1):
        text = known.get(".".join(parts[:length]))
        if text:
            return _date(text)
    return None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
