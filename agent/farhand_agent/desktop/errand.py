"""What the resident agent has a short-lived child do for its computer's people.

It reads journals and verifies receipts, for which the resident has neither the libraries nor the
time.  It decides nothing: who asks, and whether that user may, the resident has settled
(farhand_agent.people).

    facts     what the page shows of the device, with the calls for help of that user alone
    help      notes a call for help of that user
    receipts  those of the sessions that concerned that user
    receipt   one of them in words

Run as `python -P -m farhand_agent.desktop.errand`; one frame in, one out (farhand_agent.frames).
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any, Final

from farhand_agent.config import Home
from farhand_agent.desktop.facts import device_facts, one_receipt, receipts_shown
from farhand_agent.frames import serve_frames
from farhand_agent.help_request import Asker, ask_for_help
from farhand_agent.journal import Journal
from farhand_agent.people.concerned import sessions_of
from farhand_agent.wording import LANGUAGES, wording_in
from farhand_protocol.errors import RemoteError

__all__ = ["MAX_RECEIPT_CHARS", "run_errand"]

MAX_RECEIPT_CHARS: Final = 200_000
_ROOT: Final = 0


def run_errand(request: dict[str, Any]) -> dict[str, Any]:
    """Do one errand.

    Raises:
        FarhandError: what the work raises; `request-malformed`.
    """
    home, uid = Home.at(str(request["home"])), int(request["uid"])
    whose = None if uid == _ROOT else uid
    match request["do"]:
        case "facts":
            return {"facts": asdict(device_facts(home, uid=whose))}
        case "receipts":
            known = _concerned(home, whose)
            items = [
                one for one in receipts_shown(home) if known is None or one["session"] in known
            ]
            return {"items": items}
        case "receipt":
            session, known = str(request["session"]), _concerned(home, whose)
            if known is not None and session not in known:
                return {"text": None}
            language = str(request["language"])
            w = wording_in(language if language in LANGUAGES else LANGUAGES[0])
            text = one_receipt(home, session, w)
            return {"text": text and text[:MAX_RECEIPT_CHARS]}
        case "help":
            asker = Asker(uid, str(request["user"]), int(request["waiting_max"]))
            request_id = ask_for_help(
                home, str(request["text"]), tried=str(request["tried"]),
                picture=bytes(request["picture"]), language=str(request["language"]), asker=asker,
            )  # fmt: skip
            return {"request": request_id}
        case _:
            raise RemoteError("request-malformed", "there is no such errand")


def _concerned(home: Home, uid: int | None) -> frozenset[str] | None:
    """Return the sessions that concerned a user; None where all do."""
    if uid is None:
        return None
    if not home.journal.exists():
        return frozenset()
    journal = Journal(home.journal, read_only=True)
    try:
        return frozenset(sessions_of(journal, uid))
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(serve_frames(run_errand))
