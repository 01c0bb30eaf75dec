"""What the home page tells of this device: who it is, what was asked, what somebody should look at.

Read from the agent's home, and from the resident agent where one runs.  Every text here is foreign
to the page, which escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from farhand_agent import local
from farhand_agent.alarms import alarms
from farhand_agent.config import Home, load_settings, read_limited
from farhand_agent.errors import AgentNotRunning
from farhand_agent.help_request import asked_for_help
from farhand_agent.hostname import host_name
from farhand_agent.journal import Journal
from farhand_agent.receipts import list_receipts, receipt_text
from farhand_agent.wording import Wording
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.receipts import verify_receipt

__all__ = ["DeviceFacts", "device_facts", "one_receipt", "receipts_shown", "serial_number"]

_SHOWN_REQUESTS: Final = 10
_SHOWN_RECEIPTS: Final = 30
_SERIALS: Final = (
    "/sys/class/dmi/id/product_serial",
    "/sys/firmware/devicetree/base/serial-number",
)


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """Of this device, now; `url` is empty for one that was never enrolled."""

    name: str
    device: str = ""
    group: str = ""
    serial: str = ""
    url: str = ""
    is_running: bool = False
    is_connected: bool = False
    warnings: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)


def device_facts(home: Home, *, uid: int | None = None) -> DeviceFacts:
    """Gather them; blocks for a moment.

    Args:
        home: of the agent.
        uid: whose calls for help are told of, where that is another user than the agent's.
    """
    if not home.is_enrolled:
        return DeviceFacts(name=host_name(), serial=serial_number())
    settings = load_settings(home)
    is_running, is_connected = True, False
    try:
        is_connected = bool(local.ask(home, {"do": "status"}).get("connected"))
    except AgentNotRunning:
        is_running = False
    except FarhandError:
        is_connected = False  # it is busy; the page says that the line is down
    warnings: list[dict[str, Any]] = []
    requests: list[dict[str, Any]] = []
    group = settings.group
    if home.journal.exists():
        journal = Journal(home.journal, read_only=True)
        try:
            warnings = alarms(journal)
            requests = asked_for_help(journal, uid=uid)[-_SHOWN_REQUESTS:][::-1]
            group = journal.meta("group") or group
        finally:
            journal.close()
    return DeviceFacts(
        name=settings.name,
        device=settings.device,
        group=group,
        serial=serial_number(),
        url=settings.url,
        is_running=is_running,
        is_connected=is_connected,
        warnings=warnings,
        requests=requests,
    )


def serial_number() -> str:
    """Return the maker's serial number where this user may read it, else an empty text."""
    for name in _SERIALS:
        try:
            text = read_limited(Path(name), 200).decode("utf-8", "replace").strip("\0 \n")
        except (OSError, FarhandError):
            continue  # only the system's administrator may read it, or there is none
        if text:
            return text
    return ""


def receipts_shown(home: Home) -> list[dict[str, Any]]:
    """Return the newest receipts, newest first; blocks."""
    return list_receipts(home)[-_SHOWN_RECEIPTS:][::-1]


def one_receipt(home: Home, session: str, w: Wording) -> str | None:
    """Return a receipt in words, None where there is none that can be believed; blocks."""
    if not is_session_id(session):
        return None
    try:
        data = read_limited(home.receipts / f"{session}.json", MAX_ENVELOPE_BYTES)
        receipt, one_sided, _ = verify_receipt(data)
    except (OSError, FarhandError):
        return None
    return receipt_text(receipt, one_sided=one_sided, w=w)
