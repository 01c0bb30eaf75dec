"""Consent: the question in words that a person understands, and her answer.

The device asks, never the relay.  Silence is no: after a minute, or less where policy says so, the
answer is `consent-timeout` (nobody there), which is another outcome than `consent-refused`.
Everything that came from afar is escaped before it is shown.  How the answer is read is the
terminal's business (farhand_agent.session.screen); a page in the browser can use the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farhand_agent.session.events import Asked
from farhand_agent.terminal import printable

__all__ = [
    "ANSWER_WARNING",
    "CALLER_WARNING",
    "FIRST_MINUTE_S",
    "action_words",
    "consent_lines",
    "is_yes",
    "parting_words",
    "reason_words",
    "scope_words",
]

CALLER_WARNING: Final = (
    "Did somebody call or write to you, unasked, and press you for this code?",
    "Then do not give it away: end the call. Real help never hurries you.",
)
ANSWER_WARNING: Final = (
    "If somebody called you unasked, hurries you or tells you what to answer here: say no."
)
# How long the warning stands before anything else may draw the eye away from it.
FIRST_MINUTE_S: Final = 60

_SCOPES: Final = {
    "view": "see what runs on this computer, how busy and how full it is (change nothing)",
    "terminal": "type commands on this computer, with everything that you may do yourself",
    "files": "open, copy, change and delete files",
    "forward": "reach other machines through this computer",
    "screen": "see your screen",
    "control": "use your mouse and keyboard",
}

_ACTIONS: Final = {
    "exec": "ran the command  {}",
    "shell": "opened a terminal",
    "file-read": "read the file  {}",
    "file-write": "wrote the file  {}",
    "file-change": "changed files: {}",
    "forward": "reached through this computer: {}",
    "view": "looked at  {}",
    "denied": "was refused: {}",
    "scope": "what is allowed changed: {}",
    "link": "the line: {}",
    "join": "another technician: {}",
    "chat": "a message was sent",
    "step": "an instruction: {}",
    "tool": "used a tool: {}",
    "recording": "the recording: {}",
}

_PARTINGS: Final = {
    "closed": "the technician ended the session",
    "stopped": "the person at the device ended the session",
    "expired": "the agreed time is over",
    "shutdown": "the device's agent is shutting down",
    "operator-removed": "the operator is no longer on the roster",
    "ended-by-relay": "the relay ended the session",
}

_REASONS: Final = {
    "closed": "the technician finished",
    "stopped": "you stopped it",
    "expired": "the agreed time is over",
    "shutdown": "this computer's agent is shutting down",
    "operator-removed": "the technician is no longer one of the organisation's people",
    "interrupted": "it was interrupted",
    "ended-by-relay": "the relay ended it",
    "consent-refused": "you refused",
    "consent-timeout": "nobody answered in time",
    "code-expired": "the code expired",
    "code-wrong": "somebody tried a wrong code, so this one no longer counts",
    "scope-empty": "nothing of what was asked for is allowed on this device",
}


def scope_words(scope: str) -> str:
    """Say what a scope lets the other side do."""
    return _SCOPES.get(scope, printable(scope, 40))


def reason_words(reason: str) -> str:
    """Say a reason code in words; an unknown one as it is."""
    return _REASONS.get(reason, printable(reason, 80))


def parting_words(reason: str) -> str:
    """Say to the technician, as `CODE: words`, why the session ended."""
    words = _PARTINGS.get(reason, f"the session ended ({printable(reason, 60)})")
    return f"session-ended: {words}"


def action_words(kind: str, detail: str) -> str:
    """Say one action of a session in a plain sentence; foreign text is escaped."""
    shown = printable(detail, 160)
    words = _ACTIONS.get(kind)
    return words.format(shown) if words else f"{printable(kind, 20)}: {shown}"


def consent_lines(asked: Asked) -> list[str]:
    """Return the question, line by line, without the prompt."""
    if asked.asks == "join":
        return [*_join_lines(asked), ANSWER_WARNING, ""]
    lines = ["", *(_who(asked) if asked.asks == "session" else _who_again(asked))]
    lines += [f"Ticket: {printable(asked.ticket, 80)}"]
    if asked.reason:
        lines += [f"Reason: {printable(asked.reason, 300)}"]
    more = " also" if asked.asks == "scopes" else ""
    lines += ["", f"For at most {asked.minutes} minutes they could{more}:"]
    for scope in asked.scopes:
        lines += [f"  - {scope_words(scope)}"]
        lines += [f"      {detail}" for detail in _details(asked, scope)]
    if asked.shortened:
        cut = ", ".join(printable(one, 40) for one in asked.shortened)
        lines += [f"Not allowed here, though asked for: {cut}"]
    if asked.asks == "session":
        lines += ["The session is recorded." if asked.recorded else "The session is not recorded."]
    lines += ["You get a receipt of what was done, and q or Ctrl-C ends it at any moment."]
    return [*lines, ANSWER_WARNING, ""]


def _who(asked: Asked) -> list[str]:
    name = printable(asked.operator, 80)
    organisation = printable(asked.organisation, 80)
    if asked.guest:
        return [
            f"The relay says: {name} of {organisation} asks to help you.",
            "This computer cannot check that name. Ask the person you speak with to read out",
            f"these four words; if theirs differ, refuse:   {_words(asked.words)}",
        ]
    lines = [f"{name} of {organisation} asks to help you (checked by this computer)."]
    if asked.words:
        lines += [f"If in doubt, compare four words by voice:   {_words(asked.words)}"]
    return lines


def _who_again(asked: Asked) -> list[str]:
    return [
        f"{printable(asked.operator, 80)}, who is working here now, asks for more.",
        "If you say no, the session goes on as it is.",
    ]


def _join_lines(asked: Asked) -> list[str]:
    name, beside = printable(asked.operator, 80), printable(asked.beside, 80)
    lines = [
        "",
        f"{name} of {printable(asked.organisation, 80)} asks to join {beside}"
        " (checked by this computer).",
        f"Ticket: {printable(asked.ticket, 80)}",
    ]
    if asked.reason:
        lines += [f"Reason: {printable(asked.reason, 300)}"]
    if asked.mode == "observer":
        lines += ["", f"They could watch the terminals that {beside} uses, and change nothing."]
    else:
        lines += ["", f"They could work here as {beside} does:"]
        lines += [f"  - {scope_words(scope)}" for scope in asked.scopes]
    return [*lines, "If you say no, the session goes on as it is. q or Ctrl-C ends all of it."]


def _details(asked: Asked, scope: str) -> list[str]:
    details = []
    if scope == "files":
        where = ", ".join(printable(one, 120) for one in asked.files) or "everywhere you may"
        details += [f"{where}{'; reading only' if asked.files_read_only else ''}"]
        if asked.file_bytes_max is not None:
            details += [f"no file larger than {asked.file_bytes_max} bytes"]
    if scope == "forward":
        details += [", ".join(printable(one, 80) for one in asked.forward)]
    if scope in asked.cooling and asked.cool_down_s:
        details += [f"only {asked.cool_down_s} seconds after your yes, so that you can still stop"]
    return details


def _words(words: Sequence[str]) -> str:
    return "  ".join(printable(word, 20) for word in words)


def is_yes(answer: str) -> bool:
    """Tell whether a typed answer means yes; everything else means no."""
    return answer.strip().lower() in ("y", "yes")
