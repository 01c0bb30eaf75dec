"""JSON lines between a session process and the terminal (or page) of the person at the device.

Up, on the process's stdout, tagged by `event`: what the person must see.  Down, on its stdin:

    {"answer": "allow" | "deny", "ask": N, "scopes": [SCOPE, ...]}
                                      to the `request` of that number; without `scopes`, all of it
    {"withdraw": SCOPE}               close one scope of the open session
    {"say": TEXT}                     to the technician
    {"step": ID, "answer": "done" | "cannot", "why": TEXT}     to the last `step`
    {"shot": ID, ...}                 to the last `screenshot` (session/screenshot.py)
    {"stop": true}                    end the session now
    end of input                      the same: whoever watched the session is gone

The events that DESIGN section 9 names carry those keys and more; the others are ours.
Text in them is foreign: whoever shows it escapes it (farhand_agent.terminal.printable).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "MAX_LINE_BYTES",
    "ActionSeen",
    "Asked",
    "CodeShown",
    "Decided",
    "Ended",
    "Event",
    "Failed",
    "LineChanged",
    "LineShown",
    "Opened",
    "Paused",
    "PolicyChanged",
    "Refused",
    "Restarting",
    "Said",
    "ScopesChanged",
    "ShotAsked",
    "ShotOver",
    "StepOver",
    "StepShown",
    "Waiting",
    "decode_event",
    "encode_event",
]

MAX_LINE_BYTES = 256 * 1024
LineShown: TypeAlias = Literal["connected", "reconnecting", "idle"]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    pass


class CodeShown(_Event, frozen=True, kw_only=True, tag="code"):
    """A code to read out; the last one shown is the valid one."""

    code: str
    expires_at: str
    expires_in_s: int
    url: str


class Asked(_Event, frozen=True, kw_only=True, tag="request"):
    """Somebody asks; the process waits for an answer.

    `asks` is `session`, or `scopes` for more in the session that is open (`scopes` and `forward`
    are then what would be added), or `join` for another operator (`operator`) beside the one who is
    there (`beside`), as `mode`: `observer` or `peer`.  `operator` is the roster's name, or on a
    guest device what the relay says (`guest`).  `shortened` names scopes that were asked for and
    are not on the table.
    `cool_down_s` is what passes between yes and the opening of the scopes `cooling`.  `ask` is the
    question's number in this process, from 1; `user` is the account that it runs as, whose rights
    whoever types commands has.
    """

    ask: int = 0
    session: str
    operator: str
    organisation: str
    ticket: str
    reason: str
    scopes: list[str]
    minutes: int
    words: list[str]
    guest: bool
    host_name: str
    recorded: bool
    files: list[str]
    files_read_only: bool
    forward: list[str]
    shortened: list[str]
    answer_within_s: int
    asks: Literal["session", "scopes", "join"] = "session"
    beside: str = ""
    mode: str = ""
    cooling: list[str] = []
    cool_down_s: int = 0
    file_bytes_max: int | None = None
    user: str = ""


class Decided(_Event, frozen=True, kw_only=True, tag="decided"):
    """A question within an open session is over; `reason` is empty, or a stable code."""

    session: str
    granted: bool
    reason: str


class Opened(_Event, frozen=True, kw_only=True, tag="session"):
    """The session is open; `resumed` when it was so before this process, by the same consent."""

    session: str
    operator: str
    scopes: list[str]
    expires_at: str
    resumed: bool = False


class LineChanged(_Event, frozen=True, kw_only=True, tag="line"):
    """The technician's line is up, was lost, or nobody is connected just now.

    `left_s` is how long a lost one is waited for.
    """

    session: str
    state: LineShown
    left_s: int | None = None


class Restarting(_Event, frozen=True, kw_only=True, tag="restarting"):
    """The technician restarts this computer; the session goes on afterwards."""

    session: str


class Paused(_Event, frozen=True, kw_only=True, tag="paused"):
    """This process goes and the session does not: it goes on when the agent is started again."""

    session: str
    expires_at: str


class ScopesChanged(_Event, frozen=True, kw_only=True, tag="scopes"):
    """What is open now; `forward` are the destinations."""

    session: str
    scopes: list[str]
    forward: list[str]


class Waiting(_Event, frozen=True, kw_only=True, tag="waiting"):
    """A request under a scope that cools down waits for `seconds`."""

    scope: str
    detail: str
    seconds: int


class PolicyChanged(_Event, frozen=True, kw_only=True, tag="policy"):
    """This device's policy is not the one that was shown last; `words` say what it is now."""

    since: str
    words: list[str]


class ActionSeen(_Event, frozen=True, kw_only=True, tag="action"):
    """Something was done in the session; `by` names an operator who joined it.

    `message` and `facts` are those of the action (farhand_agent.deeds), empty where it has none.
    """

    at: str
    kind: str
    detail: str
    by: str = ""
    message: str = ""
    facts: dict[str, str | int] = {}


class Said(_Event, frozen=True, kw_only=True, tag="chat"):
    """Somebody said something; `operator` is named where it was the technician."""

    session: str
    id: int
    at: str
    who: Literal["technician", "person"]
    operator: str
    text: str


class StepShown(_Event, frozen=True, kw_only=True, tag="step"):
    """The technician asks the person to do something; number `number` of `of`."""

    session: str
    step: int
    number: int
    of: int
    text: str


class StepOver(_Event, frozen=True, kw_only=True, tag="step-over"):
    """That step stands no more: `done`, `cannot` or `withdrawn`."""

    session: str
    step: int
    answer: str


class ShotAsked(_Event, frozen=True, kw_only=True, tag="screenshot"):
    """The technician asks for one picture of the screen; nothing is taken before she says so."""

    session: str
    shot: int
    operator: str
    reason: str
    answer_within_s: int
    send_within_s: int


class ShotOver(_Event, frozen=True, kw_only=True, tag="screenshot-over"):
    """That picture is asked for no more: `sent`, `refused`, `timeout` or `withdrawn`."""

    session: str
    shot: int
    answer: str


class Refused(_Event, frozen=True, kw_only=True, tag="refused"):
    """There will be no session; `reason` is a stable code."""

    reason: str
    message: str


class Ended(_Event, frozen=True, kw_only=True, tag="end"):
    """The session is over; `receipt` is the path of its file."""

    session: str
    reason: str
    receipt: str | None


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """The process cannot go on."""

    code: str
    message: str
    hint: str | None


Event: TypeAlias = (
    CodeShown
    | PolicyChanged
    | Asked
    | Decided
    | Opened
    | ScopesChanged
    | LineChanged
    | Restarting
    | Paused
    | Waiting
    | ActionSeen
    | Said
    | StepShown
    | StepOver
    | ShotAsked
    | ShotOver
    | Refused
    | Ended
    | Failed
)
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return one line with its newline."""
    return msgspec.json.encode(event) + b"\n"


def decode_event(line: bytes) -> Event:
    """Read one line.

    Raises:
        FarhandError: `child-failed` when it is none.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FarhandError(
            "child-failed", "the session process sent something unknown", detail=str(error)
        ) from error
