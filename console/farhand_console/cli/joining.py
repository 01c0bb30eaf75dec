"""What every command on an open session begins with: open it, join it, run its work.

joined        the open session of a name, or one opened on the spot on the device of that name
run_session   asyncio.run, and of a group of errors the one that says most
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

import asyncssh

from farhand_console.cli.base import Context
from farhand_console.output import say
from farhand_console.session.opening import WAIT_MINUTES, Wish, open_by_code, open_by_grant
from farhand_console.session.partings import parting
from farhand_console.session.record import SessionRecord, find
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.trust import SCOPES

__all__ = [
    "DEFAULT_SCOPES",
    "MAX_REASON_CHARS",
    "check_reason",
    "joined",
    "make_wish",
    "open_session_as",
    "run_session",
]

DEFAULT_SCOPES = "view,terminal,files"
# What a device takes in a grant, a widening or a joining.
MAX_REASON_CHARS: Final = 500
T = TypeVar("T")


def run_session(work: Coroutine[Any, Any, T]) -> T:
    """Run session work; of a group of errors the one that says most is raised."""
    try:
        return asyncio.run(work)
    except ExceptionGroup as errors:
        leaves = sorted(_leaves(errors), key=_rank)
        raise _translated(leaves[0]) from errors
    except asyncssh.Error as error:
        raise _translated(error) from error


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


def _rank(error: BaseException) -> int:
    """Order errors by how much they say: ours, a bug, the system's, the library's."""
    if isinstance(error, FarhandError):
        return 0
    return 3 if isinstance(error, asyncssh.Error) else 2 if isinstance(error, OSError) else 1


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, asyncssh.DisconnectError) and (told := parting(error.reason)):
        return told
    if isinstance(error, asyncssh.Error):
        return FarhandError(
            "session-lost", "the connection to the device was lost", detail=str(error)
        )
    return error


def make_wish(
    ticket: str | None,
    scopes: str,
    forward: tuple[str, ...],
    minutes: int,
    reason: str,
    *,
    read_only: bool = False,
) -> Wish:
    wanted = [part.strip() for part in scopes.split(",") if part.strip()]
    for scope in wanted:
        if scope not in SCOPES:
            raise UsageError("scope-unknown", f"{scope[:40]!r} is not one of {', '.join(SCOPES)}")
    check_reason(reason)
    return Wish(
        ticket=ticket,
        scopes=list(dict.fromkeys(wanted)),
        forward=list(forward),
        minutes=minutes,
        reason=reason,
        read_only=read_only,
    )


def check_reason(reason: str) -> None:
    """Refuse a reason that no device takes, before anything is signed or written down.

    Raises:
        UsageError: `usage`.
    """
    # The relay makes one line of it, so line ends and tabs do no harm.
    plain = reason.replace("\n", " ").replace("\t", " ").isprintable()
    if len(reason) > MAX_REASON_CHARS or not plain:
        raise UsageError(
            "usage", f"a reason has at most {MAX_REASON_CHARS} characters, all of them printable"
        )


def open_session_as(
    context: Context,
    code: str | None,
    device: str | None,
    wish: Wish,
    *,
    wait_minutes: int = WAIT_MINUTES,
) -> SessionRecord:
    if not wish.scopes:
        raise UsageError("scope-unknown", "a session needs a scope", hint=DEFAULT_SCOPES)
    if code is not None:
        return open_by_code(
            context.home,
            context.settings,
            context.relay,
            code,
            wish,
            signer=context.signer,
            trust=context.trust,
            say=say,
        )
    return open_by_grant(
        context.home,
        context.settings,
        context.relay,
        device or "",
        wish,
        signer=context.signer,
        trust=context.trust(),
        say=say,
        wait_minutes=wait_minutes,
    )


def joined(context: Context, name: str, *, wait_minutes: int = WAIT_MINUTES) -> SessionRecord:
    """Return the open session of that name, opening one on the device of that name otherwise.

    Two commands that want one on the same device at once share it: the second waits until the first
    has it, or has been refused.
    """
    record = find(context.home, name)
    if record is not None:
        return record
    waits = f"another command here opens a session on {name[:80]}; waiting for it"
    with context.home.locked(_opening(name), on_wait=lambda: say(waits)):
        record = find(context.home, name)
        if record is None:
            wish = make_wish(None, DEFAULT_SCOPES, (), 30, "")
            record = open_session_as(context, None, name, wish, wait_minutes=wait_minutes)
            say(f"session {record.session} is open until {record.expires}")
    return record


def _opening(device: str) -> str:
    """Return the name of the lock under which a session on a device is opened on the spot."""
    return f"opening-{hashlib.sha256(device.strip().lower().encode()).hexdigest()[:16]}"
