"""What was done in a session, in the words of the person at the device.

An action has its `detail` in English as it happened, and, where the device wrote that itself and
did not take it from afar, the name of one of the sentences below with what fills it in.  The
sentence is put together when it is shown, in the language of whoever reads; what is signed is the
name and the facts.  Actions without them (a command, a path, an older receipt) are shown by their
detail.

Facts that are no words are written as the language writes them: `scope` by its name, `reason` from
its code, `seconds` and the bytes `sent` and `received` as numbers with their unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from farhand_agent.consent import reason_words, scope_names
from farhand_agent.terminal import printable
from farhand_agent.wording import Wording, own_wording

__all__ = ["action_words", "logged_words"]

_ACTIONS: Final = {
    "exec": "ran the command  {what}",
    "shell": "opened a terminal",
    "file-read": "read the file  {what}",
    "file-write": "wrote the file  {what}",
    "file-change": "changed files: {what}",
    "forward": "reached through this computer: {what}",
    "view": "looked at  {what}",
    "denied": "was refused: {what}",
    "scope": "what is allowed changed: {what}",
    "link": "the line: {what}",
    "join": "another technician: {what}",
    "chat": "a message was sent",
    "step": "an instruction: {what}",
    "tool": "used a tool: {what}",
    "recording": "the recording: {what}",
    "screen": "your screen: {what}",
}

_SAID: Final[dict[str, str]] = {
    "link-again": "this computer's agent was started again, and the session went on",
    "link-lost": "it was lost for a while ({seconds})",
    "join-watches": "{operator} joined and watches",
    "join-works": "{operator} joined and works here, too",
    "join-refused": "{operator} was not let in: {reason}",
    "join-handed-over": "{operator} left and handed the session over to {to}",
    "join-left": "{operator} left",
    "join-stopped": "{operator} was put out at this computer",
    "join-removed": "{operator} was put out: {reason}",
    "join-not-back": "{operator} did not come back: {reason}",
    "chat-technician": "the technician wrote a message",
    "chat-person": "a message was written at this computer",
    "step-asked": "{what} (asked for)",
    "step-done": "{what} (done)",
    "step-cannot": "{what} (cannot be done)",
    "step-cannot-why": "{what} (cannot be done: {why})",
    "step-withdrawn": "{what} (no longer needed)",
    "scope-withdrawn": "{scope}: taken back at this computer",
    "scope-policy": "{scope}: no longer allowed by policy",
    "scope-agreed": "{scope}: agreed to at this computer",
    "scope-allowed": "{scope}: added, as policy allows",
    "person-agreed": "{user} agreed at this computer",
    "person-refused": "{user} refused at this computer",
    "forward-closed": "{to} is closed: {sent} there, {received} back",
    "denied-forward": "reaching {to}",
    "denied-forward-why": "reaching {to}: {reason}",
    "denied-channels": "too many things at once",
    "denied-socket": "reaching the local socket {path}",
    "denied-listen": "waiting for connections at {at}",
    "denied-tunnel": "a network tunnel",
    "denied-terminal": "a terminal",
    "denied-command": "the command {command}",
    "denied-request": "an unusual request ({name})",
    "files-open": "open {path}",
    "files-write": "write {path}",
    "files-look": "look at {path}",
    "files-list": "list {path}",
    "files-remove": "remove {path}",
    "files-mkdir": "make the folder {path}",
    "files-rmdir": "remove the folder {path}",
    "files-rename": "rename {path} to {new}",
    "files-link": "link {path} to {new}",
    "files-attributes": "change the dates or rights of {path}",
    "tool-processes": "the programs that run",
    "tool-services": "the services that run in the background",
    "tool-logs": "the system's log",
    "tool-log-file": "the log file {file}",
    "tool-disk-usage": "what takes the room in {path}",
    "tool-disk-usage-here": "what takes the room on the disk",
    "tool-process-kill": "end the process {pid}",
    "tool-process-kill-name": "end the program {name} (process {pid})",
    "tool-service-start": "start the service {name}",
    "tool-service-stop": "stop the service {name}",
    "tool-service-restart": "restart the service {name}",
    "tool-lock": "lock the screen",
    "tool-logout": "sign out {user}",
    "tool-restart": "restart this computer",
    "tool-restart-later": "restart this computer in {minutes} min",
    "tool-shutdown": "switch this computer off",
    "tool-shutdown-later": "switch this computer off in {minutes} min",
    "tool-power-cancel": "take back the restart or the switching off",
    "tool-wake": "wake the computer {mac} in this network",
    "shot-sent": "a picture of the screen ({size}), sent from this computer",
    "shot-refused": "a picture of the screen",
    "screen-shown": "it is shown to the technician, and not recorded",
    "screen-shown-recorded": "it is shown to the technician, and recorded",
    "screen-over": "it is shown no longer (after {seconds})",
    "screen-control": "the technician uses mouse and keyboard",
    "screen-input": "mouse and keyboard: {used} went through, {dropped} did not",
    "clipboard-put": "the technician put a text into the clipboard ({received})",
    "clipboard-taken": "what was copied went to the technician ({sent})",
    "recording-full": "the relay takes no more of it",
    "recording-refused": "the relay refuses it",
    "recording-unwritten": "it cannot be written on this computer",
}

_LOOKS: Final[dict[str, str]] = {
    "system": "this computer as a whole",
    "processes": "the programs that run",
    "services": "the services that run in the background",
    "disks": "the disks",
}

# Records of the device's log that are about sessions and who may have them.
_LOGGED: Final[dict[str, str]] = {
    "session-granted": "a session began",
    "session-refused": "a session was refused",
    "session-joined": "a technician joined",
    "session-left": "a technician left",
    "session-handed-over": "a session was handed over",
    "session-resumed": "a session went on",
    "session-stopping": "a session is being stopped",
    "session-ended": "a session ended",
    "consent-answered": "somebody at this computer answered",
    "session-followed": "somebody at this computer followed a session",
    "scope-added": "something was allowed",
    "scope-withdrawn": "something was taken back",
    "policy-changed": "what this computer allows was changed",
    "roster-changed": "who may help here was changed",
}

# What an older receipt says of scopes, which has a detail alone.
_CLOSED: Final = re.compile(r"(?P<scope>[a-z]+) was closed: (?P<why>.*)\Z")
_ADDED: Final = re.compile(r"(?P<scope>[a-z]+)(?: to (?P<to>.*))? was added: (?P<why>.*)\Z")
_CHANGES: Final[dict[str, str]] = {
    "the person at the device withdrew it": "scope-withdrawn",
    "the device's policy does not allow it any more": "scope-policy",
    "the person at the device agreed": "scope-agreed",
    "the policy allows it": "scope-allowed",
}

Facts = Mapping[str, str | int]


def action_words(
    kind: str,
    detail: str,
    w: Wording | None = None,
    *,
    message: str = "",
    facts: Facts | None = None,
    limit: int = 160,
) -> str:
    """Say one action of a session in a plain sentence; foreign text is escaped, and bounded.

    Args:
        kind, detail: of the action.
        w: the language; without one it is that of this process's environment.
        message, facts: the action's own, where it has them.
        limit: of what the sentence is filled in with, in characters.
    """
    w = w or own_wording()
    told = _sentence(message, facts or {}, w, limit)
    words = _ACTIONS.get(kind)
    if told is not None and words is not None and "{what}" not in words:
        return told  # it says all there is
    shown = told if told is not None else printable(_detail_words(kind, detail, w), limit)
    if words is None:
        return f"{printable(kind, 20)}: {shown}"
    return w(words, what=shown)


def logged_words(kind: str, w: Wording | None = None) -> str:
    """Say what a record of the device's log is about, with its stable kind."""
    words = _LOGGED.get(kind)
    shown = printable(kind, 40)
    return f"{(w or own_wording())(words)} ({shown})" if words else shown


def _sentence(message: str, facts: Facts, w: Wording, limit: int) -> str | None:
    """Return the sentence that the device wrote down; None where there is none that fits."""
    words = _SAID.get(message)
    if words is None:
        return None
    said = {name: _fact(name, value, facts, w, limit) for name, value in facts.items()}
    try:
        told = w(words).format(**said)
    except KeyError:
        return None  # not by this version: the detail tells it
    if "read_only" in facts:
        told = w("{what} (this session may read files only)", what=told)
    return told


def _fact(name: str, value: str | int, facts: Facts, w: Wording, limit: int) -> str:
    """Say one fact; what came from afar is escaped."""
    if isinstance(value, int):
        if name in ("sent", "received"):
            return w.count("{n} byte", "{n} bytes", value)
        return w.count("{n} second", "{n} seconds", value) if name == "seconds" else str(value)
    if name == "scope":
        to = f" ({printable(str(facts['to']), limit)})" if "to" in facts else ""
        return scope_names([value], w) + to
    return reason_words(value, w) if name == "reason" else printable(value, limit)


def _detail_words(kind: str, detail: str, w: Wording) -> str:
    """Say an action that has a detail alone; what is known of it in the person's words."""
    if kind == "view" and (looked := _LOOKS.get(detail.partition(" ")[0])):
        return w(looked)
    if kind == "scope" and (said := _CLOSED.match(detail) or _ADDED.match(detail)):
        facts = {name: text for name, text in said.groupdict().items() if text is not None}
        message = _CHANGES.get(facts.pop("why"), "")
        return _sentence(message, facts, w, len(detail)) or detail
    return detail
