"""Consent: the question in words that a person understands, and her answer.

The device asks, never the relay.  Silence is no: after a minute, or less where policy says so, the
answer is `consent-timeout` (nobody there), which is another outcome than `consent-refused`.
Everything that came from afar is escaped before it is shown.  Each function takes the language
(`wording`); without one it is that of this process's environment.  How the answer is read is the
terminal's business (farhand_agent.session.screen); a page in the browser can use the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from farhand_agent.processes import own_user
from farhand_agent.session.events import Asked
from farhand_agent.terminal import printable
from farhand_agent.wording import Wording, own_wording

__all__ = [
    "ANSWER_WARNING",
    "CALLER_WARNING",
    "FIRST_MINUTE_S",
    "Question",
    "consent_lines",
    "consent_parts",
    "is_yes",
    "parting_words",
    "reason_words",
    "scope_names",
    "scope_words",
    "warning_words",
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

# May do everything, whatever it is called elsewhere.
_ADMINISTRATOR: Final = "root"

_SCOPES: Final = {
    "view": "see what runs on this computer, how busy and how full it is (change nothing)",
    "terminal": "type commands on this computer",
    "files": "open, copy, change and delete files",
    "forward": "reach other machines through this computer",
    "screen": "see your screen",
    "control": "use your mouse and keyboard",
    "clipboard": "read what you copy, and put text where you paste from",
    "desktop": "reach this computer's own remote desktop (VNC or RDP)",
}

# The same in a row of several.
_SCOPE_NAMES: Final[dict[str, str]] = {
    "view": "seeing what runs",
    "terminal": "typing commands",
    "files": "files",
    "forward": "reaching other machines",
    "screen": "seeing your screen",
    "control": "mouse and keyboard",
    "clipboard": "the clipboard",
    "desktop": "this computer's remote desktop",
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
    "scope-missing": "that is not open in this session",
    "forward-own-address": "it leads to this computer itself or to the relay",
    "policy-refused": "policy does not allow it",
    "grant-not-permitted": "policy does not allow it",
}


def warning_words(lines: Sequence[str], w: Wording | None = None) -> list[str]:
    """Say one of the warnings."""
    w = w or own_wording()
    return [w(line) for line in lines]


def scope_words(scope: str, w: Wording | None = None) -> str:
    """Say what a scope lets the other side do."""
    words = _SCOPES.get(scope)
    return (w or own_wording())(words) if words else printable(scope, 40)


def _asked_words(scope: str, asked: Asked, w: Wording) -> str:
    """Say what a scope that is asked for lets the other side do, and with whose rights."""
    if scope != "terminal":
        return scope_words(scope, w)
    if _is_yours(asked):
        return w("type commands on this computer, with everything that you may do yourself")
    if asked.user == _ADMINISTRATOR:
        return w("type commands on this computer as its administrator, who may do everything")
    user = printable(asked.user, 60)
    return w("type commands on this computer, with everything that {user} may do", user=user)


def _is_yours(asked: Asked) -> bool:
    """Tell whether it is with the reader's own rights, so far as she has not an administrator's."""
    return asked.user in ("", own_user()) and asked.user != _ADMINISTRATOR


def _everywhere(asked: Asked, w: Wording) -> str:
    if _is_yours(asked):
        return w("everywhere you may")
    if asked.user == _ADMINISTRATOR:
        return w("everywhere on this computer")
    return w("everywhere that {user} may", user=printable(asked.user, 60))


def scope_names(scopes: Iterable[str], w: Wording | None = None) -> str:
    """Name scopes in a row, in a person's words; an unknown one as it is."""
    say = w or own_wording()
    known = _SCOPE_NAMES
    return ", ".join(say(known[one]) if one in known else printable(one, 40) for one in scopes)


def reason_words(reason: str, w: Wording | None = None) -> str:
    """Say a reason code in words; an unknown one as it is."""
    words = _REASONS.get(reason)
    return (w or own_wording())(words) if words else printable(reason, 80)


def parting_words(reason: str) -> str:
    """Say to the technician, in English, as `CODE: words`, why the session ended."""
    words = _PARTINGS.get(reason, f"the session ended ({printable(reason, 60)})")
    return f"session-ended: {words}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question in its parts, for a page; every text is ready to be shown.

    Args:
        who: who asks, and how sure that is.
        facts: ticket, reason.
        for_how_long: a line that ends where the scopes begin.
        scopes: each by name, in words, with its details.
        notes: what is not allowed, whether it is recorded.
    """

    who: list[str]
    facts: list[str]
    for_how_long: str
    scopes: list[tuple[str, str, list[str]]]
    notes: list[str]


def consent_parts(asked: Asked, w: Wording | None = None) -> Question:
    """Return the question in its parts, with the words that a terminal shows."""
    w = w or own_wording()
    facts = [w("Ticket: {ticket}", ticket=printable(asked.ticket, 80))]
    if asked.reason:
        facts += [w("Reason: {reason}", reason=printable(asked.reason, 300))]
    if asked.asks == "join":
        beside = printable(asked.beside, 80)
        watches = w(
            "They could watch the terminals that {beside} uses, and change nothing.", beside=beside
        )
        works = w("They could work here as {beside} does:", beside=beside)
        is_peer = asked.mode != "observer"
        return Question(
            who=[_joins(asked, w)],
            facts=facts,
            for_how_long=works if is_peer else watches,
            scopes=[(one, _asked_words(one, asked, w), []) for one in asked.scopes if is_peer],
            notes=[w("If you say no, the session goes on as it is.")],
        )
    notes = []
    if asked.shortened:
        cut = scope_names(asked.shortened, w)
        notes += [w("Not allowed here, though asked for: {scopes}", scopes=cut)]
    if asked.asks == "session":
        recorded = w("The session is recorded."), w("The session is not recorded.")
        notes += [recorded[0] if asked.recorded else recorded[1]]
    return Question(
        who=_who(asked, w) if asked.asks == "session" else _who_again(asked, w),
        facts=facts,
        for_how_long=_for_how_long(asked, w),
        scopes=[
            (one, _asked_words(one, asked, w), _details(asked, one, w)) for one in asked.scopes
        ],
        notes=notes,
    )


def consent_lines(asked: Asked, w: Wording | None = None) -> list[str]:
    """Return the question, line by line, without the prompt."""
    w = w or own_wording()
    if asked.asks == "join":
        return [*_join_lines(asked, w), w(ANSWER_WARNING), ""]
    lines = ["", *(_who(asked, w) if asked.asks == "session" else _who_again(asked, w))]
    lines += [w("Ticket: {ticket}", ticket=printable(asked.ticket, 80))]
    if asked.reason:
        lines += [w("Reason: {reason}", reason=printable(asked.reason, 300))]
    lines += ["", _for_how_long(asked, w)]
    for scope in asked.scopes:
        lines += [f"  - {_asked_words(scope, asked, w)}"]
        lines += [f"      {detail}" for detail in _details(asked, scope, w)]
    if asked.shortened:
        cut = scope_names(asked.shortened, w)
        lines += [w("Not allowed here, though asked for: {scopes}", scopes=cut)]
    if asked.asks == "session":
        recorded = w("The session is recorded."), w("The session is not recorded.")
        lines += [recorded[0] if asked.recorded else recorded[1]]
    lines += [w("You get a receipt of what was done, and q or Ctrl-C ends it at any moment.")]
    return [*lines, w(ANSWER_WARNING), ""]


def _for_how_long(asked: Asked, w: Wording) -> str:
    if asked.asks == "scopes":
        return w.count(
            "For at most {n} minute they could also:",
            "For at most {n} minutes they could also:",
            asked.minutes,
        )
    return w.count(
        "For at most {n} minute they could:", "For at most {n} minutes they could:", asked.minutes
    )


def _who(asked: Asked, w: Wording) -> list[str]:
    who = {
        "name": printable(asked.operator, 80),
        "organisation": printable(asked.organisation, 80),
    }
    if asked.guest:
        return [
            w("The relay says: {name} of {organisation} asks to help you.", **who),
            w("This computer cannot check that name. Ask the person you speak with to read out"),
            w("these four words; if theirs differ, refuse:   {words}", words=_words(asked.words)),
        ]
    lines = [w("{name} of {organisation} asks to help you (checked by this computer).", **who)]
    if asked.words:
        words = _words(asked.words)
        lines += [w("If in doubt, compare four words by voice:   {words}", words=words)]
    return lines


def _who_again(asked: Asked, w: Wording) -> list[str]:
    name = printable(asked.operator, 80)
    return [
        w("{name}, who is working here now, asks for more.", name=name),
        w("If you say no, the session goes on as it is."),
    ]


def _joins(asked: Asked, w: Wording) -> str:
    who = {
        "name": printable(asked.operator, 80),
        "organisation": printable(asked.organisation, 80),
        "beside": printable(asked.beside, 80),
    }
    return w("{name} of {organisation} asks to join {beside} (checked by this computer).", **who)


def _join_lines(asked: Asked, w: Wording) -> list[str]:
    beside = printable(asked.beside, 80)
    lines = [
        "",
        _joins(asked, w),
        w("Ticket: {ticket}", ticket=printable(asked.ticket, 80)),
    ]
    if asked.reason:
        lines += [w("Reason: {reason}", reason=printable(asked.reason, 300))]
    if asked.mode == "observer":
        watching = w(
            "They could watch the terminals that {beside} uses, and change nothing.", beside=beside
        )
        lines += ["", watching]
    else:
        lines += ["", w("They could work here as {beside} does:", beside=beside)]
        lines += [f"  - {_asked_words(scope, asked, w)}" for scope in asked.scopes]
    return [*lines, w("If you say no, the session goes on as it is. q or Ctrl-C ends all of it.")]


def _details(asked: Asked, scope: str, w: Wording) -> list[str]:
    details = []
    if scope == "files":
        where = ", ".join(printable(one, 120) for one in asked.files) or _everywhere(asked, w)
        details += [w("{where}; reading only", where=where) if asked.files_read_only else where]
        if asked.file_bytes_max is not None:
            size = asked.file_bytes_max
            details += [
                w.count("no file larger than {n} byte", "no file larger than {n} bytes", size)
            ]
    if scope == "forward":
        details += [", ".join(printable(one, 80) for one in asked.forward)]
    if scope in asked.cooling and asked.cool_down_s:
        details += [
            w.count(
                "only {n} second after your yes, so that you can still stop",
                "only {n} seconds after your yes, so that you can still stop",
                asked.cool_down_s,
            )
        ]
    return details


def _words(words: Sequence[str]) -> str:
    return "  ".join(printable(word, 20) for word in words)


def is_yes(answer: str, w: Wording | None = None) -> bool:
    """Tell whether a typed answer means yes; everything else means no."""
    return (w or own_wording()).is_yes(answer)
