"""Which sessions concerned which user: those that she followed, and so could see and answer.

Kept in the journal, one list per user with the newest `MAX_CONCERNED`, and a record of the device's
log for each that is added.  It decides whose receipts she is shown.
"""

from __future__ import annotations

from typing import Final

import msgspec

from farhand_agent.journal import Journal

__all__ = ["MAX_CONCERNED", "note_concerned", "sessions_of"]

MAX_CONCERNED: Final = 200


def sessions_of(journal: Journal, uid: int) -> list[str]:
    """Return the sessions that concerned a user, oldest first."""
    return msgspec.json.decode(journal.meta(_key(uid)) or "[]", type=list[str])


def note_concerned(journal: Journal, uid: int, user: str, session: str) -> bool:
    """Note that a user follows a session; False where that is known."""
    known = sessions_of(journal, uid)
    if session in known:
        return False
    kept = msgspec.json.encode([*known, session][-MAX_CONCERNED:]).decode()
    journal.set_meta(_key(uid), kept, kind="session-followed", session=session, user=user, uid=uid)
    return True


def _key(uid: int) -> str:
    return f"sessions-of-{uid}"
