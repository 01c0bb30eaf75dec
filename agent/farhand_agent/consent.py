"""Consent: the question in words that a person understands, and her answer.

The device asks, never the relay.  Silence is no: after a minute the answer is `consent-timeout`
(nobody there), which is another outcome than `consent-refused`.  Everything that came from afar is
escaped before it is shown.  How the answer is read is the terminal's business
(farhand_agent.session.command); a page in the browser can use the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farhand_agent.session.events import Asked
from farhand_agent.terminal import printable
from farhand_protocol.trust import MAX_CONSENT_S

__all__ = [
    "CALLER_WARNING",
    "CONSENT_TIMEOUT_S",
    "consent_lines",
    "is_yes",
    "reason_words",
    "scope_words",
]

CONSENT_TIMEOUT_S: Final = MAX_CONSENT_S

CALLER_WARNING: Final = (
    "Did somebody call or write to you, unasked, and press you for this code?",
    "Then do not give it away: end the call. Real help never hurries you.",
)

_SCOPES: Final = {
    "view": "see what runs on this computer, how busy and how full it is (change nothing)",
    "terminal": "type commands on this computer, with everything that you may do yourself",
    "files": "open, copy, change and delete files",
    "forward": "reach other machines through this computer",
    "screen": "see your screen",
    "control": "use your mouse and keyboard",
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
    "consent-timeout": "nobody answered within a minute",
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


def consent_lines(asked: Asked) -> list[str]:
    """Return the question, line by line, without the prompt."""
    name = printable(asked.operator, 80)
    organisation = printable(asked.organisation, 80)
    lines = [""]
    if asked.guest:
        lines += [
            f"The relay says: {name} of {organisation} asks to help you.",
            "This computer cannot check that name. Ask the person you speak with to read out",
            f"these four words; if theirs differ, refuse:   {_words(asked.words)}",
        ]
    else:
        lines += [f"{name} of {organisation} asks to help you (checked by this computer)."]
        if asked.words:
            lines += [f"If in doubt, compare four words by voice:   {_words(asked.words)}"]
    lines += [f"Ticket: {printable(asked.ticket, 80)}"]
    if asked.reason:
        lines += [f"Reason: {printable(asked.reason, 300)}"]
    lines += ["", f"For at most {asked.minutes} minutes they could:"]
    for scope in asked.scopes:
        lines += [f"  - {scope_words(scope)}"]
        lines += [f"      {detail}" for detail in _details(asked, scope)]
    if asked.shortened:
        cut = ", ".join(printable(one, 40) for one in asked.shortened)
        lines += [f"Not allowed here, though asked for: {cut}"]
    lines += ["The session is recorded." if asked.recorded else "The session is not recorded."]
    lines += ["You get a receipt of what was done, and Ctrl-C ends it at any moment.", ""]
    return lines


def _details(asked: Asked, scope: str) -> list[str]:
    if scope == "files":
        where = ", ".join(printable(one, 120) for one in asked.files) or "everywhere you may"
        return [f"{where}{'; reading only' if asked.files_read_only else ''}"]
    if scope == "forward":
        return [", ".join(printable(one, 80) for one in asked.forward)]
    return []


def _words(words: Sequence[str]) -> str:
    return "  ".join(printable(word, 20) for word in words)


def is_yes(answer: str) -> bool:
    """Tell whether a typed answer means yes; everything else means no."""
    return answer.strip().lower() in ("y", "yes")
