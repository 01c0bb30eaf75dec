"""On which terms a device carries out a campaign's order: signed inside the order itself.

The relay carries them and can loosen none; what they say is done by the device, in its own time:
windows (windows.py), putting off by whoever sits there, and what follows where a restart is needed.

    reboot    never    nothing is restarted, only said
              idle     once nobody is signed in and no session is open
              window   once a window is open; needs windows
              prompt   the people there are told, and it restarts after `notice_s`
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.windows import parse_windows

__all__ = ["MAX_DEFER_DAYS", "MAX_NOTICE_S", "Reboot", "Terms", "check_terms"]

# An order lives for seven days, and so no longer can it be put off.
MAX_DEFER_DAYS = 7
MAX_NOTICE_S = 86_400
Reboot = Literal["never", "idle", "window", "prompt"]
_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a campaign asks of a device beside running the script.

    `target_set` is the hash of the frozen set (campaigns.py), so that one signature says which
    whole the order is part of.  `windows` are when it may begin; none means at any time.
    `defer_days`: a person may put it off until so many days after the device first had it; then
    the first start waits `notice_s` so that there is time to.
    """

    target_set: str = ""
    windows: list[str] = msgspec.field(default_factory=list)
    defer_days: int = 0
    notice_s: int = 0
    reboot: Reboot = "never"


def check_terms(terms: Terms) -> None:
    """Check what the types do not say.

    Raises:
        FarhandError: `terms-malformed`.
    """
    try:
        parse_windows(terms.windows)
    except FarhandError as error:
        raise FarhandError("terms-malformed", error.message) from error
    if terms.target_set and not _HASH.match(terms.target_set):
        raise FarhandError("terms-malformed", "the hash of the targets is none")
    if not 0 <= terms.defer_days <= MAX_DEFER_DAYS:
        raise FarhandError("terms-malformed", f"at most {MAX_DEFER_DAYS} days can be put off")
    if not 0 <= terms.notice_s <= MAX_NOTICE_S:
        raise FarhandError("terms-malformed", "a notice is a day at most")
    if terms.reboot == "window" and not terms.windows:
        raise FarhandError("terms-malformed", "a restart in a window needs windows")
