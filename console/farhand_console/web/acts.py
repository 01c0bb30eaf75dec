"""What the page can ask this machine to do, as a closed table: each act is one `farhand` command.

The command line and the page so have one implementation, one check of what is verified and signed,
and one set of errors.  The page names an act and gives values; which words the command gets stands
here and nowhere else.  A value is one argument and never becomes an option or a second command.

    kind of value     in the page's JSON       what the command gets
    text              a string                 --option=VALUE, or VALUE after `--`
    session           a session's id           the same; no name, for which one would be opened
    number            an integer               the same
    flag              true or false            --option, or nothing
    many              a list of strings        --option=VALUE for each
    pairs             an object of strings     --option=NAME=VALUE for each
    file              a string                 --option=PATH of a private file with these words
    folder            an object of strings     PATH of a private folder with these files

`signs`: the operator's key is used, and the person is asked for it each time.  What she reads then
is what an act without a key showed before, or the values themselves; the act that signs names its
hash (`digest`, `agreed`), and the command refuses where it finds something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from farhand_console.home import write_private
from farhand_protocol.errors import UsageError
from farhand_protocol.identity import is_session_id

__all__ = ["ACTS", "MAX_VALUES", "MAX_VALUE_CHARS", "Act", "Value", "command_words"]

MAX_VALUE_CHARS: Final = 1024 * 1024
MAX_VALUES: Final = 500
_MAX_ARGUMENT_BYTES: Final = 100_000
Kind = Literal["text", "session", "number", "flag", "many", "pairs", "file", "folder"]
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


class Value(msgspec.Struct, frozen=True):
    """One value that an act takes.

    Args:
        name: in the page's JSON.
        kind: see the table above.
        option: such as `--ticket`; empty for an argument, in the order of the table.
        required: whether the act makes no sense without it.
    """

    name: str
    kind: Kind = "text"
    option: str = ""
    required: bool = False


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One command with the values that it takes."""

    words: tuple[str, ...]
    values: tuple[Value, ...] = ()
    signs: bool = False


def _option(name: str, kind: Kind = "text", *, required: bool = False, option: str = "") -> Value:
    return Value(name, kind, option or "--" + name.replace("_", "-"), required)


def _argument(name: str, kind: Kind = "text") -> Value:
    return Value(name, kind, "", True)


_OPEN: Final = (
    _option("code"),
    _option("device"),
    _option("ticket"),
    _option("scopes", option="--scope"),
    _option("forward_to", "many"),
    _option("minutes", "number"),
    _option("reason"),
    _option("read_only", "flag"),
    _option("if_needed", "flag"),
)
_CAMPAIGN: Final = (
    _option("script", required=True),
    _option("query", required=True),
    _option("name"),
    _option("param", "pairs"),
    _option("version", "number"),
    _option("ttl", "number"),
    _option("ticket"),
    _option("rings", "many", option="--ring"),
    _option("exclude"),
    _option("limits", "many", option="--limit"),
    _option("max_in_flight", "number"),
    _option("splay"),
    _option("windows", "many", option="--window"),
    _option("defer_days", "number"),
    _option("notice"),
    _option("reboot"),
)
# What `campaign-request` showed is what is signed.
_SIGNED_FOR: Final = (_option("agreed", required=True), _argument("campaign"))
# Nobody reads what these repeat: the campaign that they make is read before it is started.
_OF_CAMPAIGN: Final = (_argument("campaign"),)
_VERSION: Final = _option("version", "number")
_POLICY: Final = (
    _option("attended", "flag"),
    _option("no_attended", "flag"),
    _option("unattended", "flag"),
    _option("no_unattended", "flag"),
    _option("consent"),
    _option("scopes", "many", option="--scope"),
    _option("minutes", "number"),
    _option("risks", "many", option="--risk"),
    _option("recording"),
    _option("audit_keys", "many", option="--audit-key"),
    _option("consent_s", "number"),
    _option("hours", "many"),
    _option("forward_to", "many"),
    _option("files_read_only", "flag"),
    _option("no_files_read_only", "flag"),
    _option("tier_min", "number"),
    _option("approvals", "number"),
    _option("recording_days", "number"),
    _option("lab", "flag"),
    _option("no_lab", "flag"),
    _option("break_glass", "flag"),
    _option("no_break_glass", "flag"),
    _argument("group"),
)

ACTS: Final[Mapping[str, Act]] = {
    "whoami": Act(words=("whoami",)),
    "session-open": Act(words=("session", "open"), values=_OPEN, signs=True),
    "session-end": Act(
        words=("session", "end"),
        values=(_option("note"), _option("hand_over", "flag"), _argument("session")),
    ),
    "session-widen": Act(
        words=("session", "widen"),
        values=(
            _option("scopes", required=True, option="--scope"),
            _option("forward_to", "many"),
            _option("reason"),
            _argument("session"),
        ),
        signs=True,
    ),
    "session-join": Act(
        words=("session", "join"),
        values=(
            _option("mode", option="--as"),
            _option("reason"),
            _argument("session"),
        ),
        signs=True,
    ),
    "session-leave": Act(words=("session", "leave"), values=(_argument("session"),)),
    "session-approve-show": Act(
        words=("session", "approve", "--show"), values=(_argument("session"),)
    ),
    "session-approve": Act(
        words=("session", "approve", "--yes"),
        values=(_option("digest", required=True), _argument("session")),
        signs=True,
    ),
    "steps": Act(
        words=("steps",),
        values=(
            _option("steps", "many", required=True, option="--step"),
            _option("within", "number"),
            _option("go_on", "flag"),
            _argument("session", "session"),
        ),
    ),
    "chat-attach": Act(words=("chat", "--attach"), values=(_argument("session", "session"),)),
    "recording-verify": Act(words=("recording", "verify"), values=(_argument("recording"),)),
    "device-show": Act(words=("device", "show"), values=(_argument("device"),)),
    "device-allows": Act(words=("device", "allows"), values=(_argument("device"),)),
    "device-confirm-show": Act(
        words=("device", "confirm", "--show"),
        values=(_option("key", required=True), _argument("device")),
    ),
    "device-confirm": Act(
        words=("device", "confirm"),
        values=(
            _option("key", required=True),
            _option("digest", required=True),
            _argument("device"),
        ),
        signs=True,
    ),
    "device-move": Act(
        words=("device", "move"), values=(_argument("device"), _argument("group")), signs=True
    ),
    "device-retire": Act(
        words=("device", "retire"), values=(_option("reason"), _argument("device")), signs=True
    ),
    "device-merge": Act(
        words=("device", "merge", "--yes"), values=(_argument("keep"), _argument("other"))
    ),
    # Where no session is open on the neighbour, one is opened with the key.
    "wake": Act(
        words=("wake",), values=(_option("via", required=True), _argument("device")), signs=True
    ),
    "run": Act(
        words=("run",),
        values=(
            _option("device", required=True),
            _option("version", "number", required=True),
            _option("digest", required=True),
            _option("param", "pairs"),
            _option("ttl", "number"),
            _option("ticket"),
            _option("wait", "flag"),
            _argument("script"),
        ),
        signs=True,
    ),
    "campaign-create": Act(words=("campaign", "create"), values=_CAMPAIGN),
    "campaign-request": Act(words=("campaign", "request"), values=(_argument("campaign"),)),
    "campaign-start": Act(words=("campaign", "start"), values=_SIGNED_FOR, signs=True),
    "campaign-watch": Act(words=("campaign", "watch"), values=_SIGNED_FOR, signs=True),
    "campaign-approve": Act(
        words=("campaign", "approve"), values=(*_SIGNED_FOR, _argument("ring")), signs=True
    ),
    "campaign-retry": Act(words=("campaign", "retry", "--unread"), values=_OF_CAMPAIGN),
    "campaign-rollback": Act(words=("campaign", "rollback", "--unread"), values=_OF_CAMPAIGN),
    "campaign-report": Act(words=("campaign", "report"), values=(_argument("campaign"),)),
    "order-show": Act(words=("order", "show"), values=(_argument("order"),)),
    "patch-check": Act(
        words=("patch", "check"),
        values=(
            _option("query", required=True),
            _option("ttl", "number"),
            _option("no_wait", "flag"),
        ),
        signs=True,
    ),
    "patch-compliance": Act(words=("patch", "compliance"), values=(_argument("campaign"),)),
    "script-list": Act(words=("script", "list"), values=(_option("limit", "number"),)),
    "script-show": Act(words=("script", "show"), values=(_VERSION, _argument("script"))),
    "script-lint": Act(words=("script", "lint"), values=(_argument("folder", "folder"),)),
    "script-submit": Act(
        words=("script", "submit"),
        values=(_option("days", "number"), _argument("folder", "folder")),
        signs=True,
    ),
    "script-submit-shipped": Act(words=("script", "submit"), values=(_argument("script"),)),
    "script-approve": Act(
        words=("script", "approve", "--yes"),
        values=(_VERSION, _option("digest", required=True), _argument("script")),
        signs=True,
    ),
    "script-publish": Act(
        words=("script", "publish"), values=(_VERSION, _argument("script")), signs=True
    ),
    "script-revoke": Act(
        words=("script", "revoke"),
        values=(_VERSION, _option("reason", required=True), _argument("script")),
        signs=True,
    ),
    "operator-list": Act(words=("operator", "list")),
    "operator-add": Act(
        words=("operator", "add"),
        values=(
            _option("key", "file", required=True),
            _option("can"),
            _option("tier", "number"),
            _option("fingerprint", required=True),
            _argument("name"),
        ),
        signs=True,
    ),
    "operator-remove": Act(words=("operator", "remove"), values=(_argument("name"),), signs=True),
    "token-create": Act(
        words=("token", "create"),
        values=(_option("group"), _option("uses", "number"), _option("ttl", "number")),
        signs=True,
    ),
    "trust-policy": Act(words=("trust", "policy"), values=(_argument("group"),)),
    "trust-policy-set": Act(words=("trust", "policy"), values=_POLICY, signs=True),
    "trust-refresh": Act(words=("trust", "refresh"), signs=True),
    "trust-status": Act(words=("trust", "status")),
    "audit-verify": Act(words=("audit", "verify")),
    "doctor": Act(words=("doctor",)),
}


def command_words(act: Act, given: Mapping[str, object], folder: Path) -> list[str]:
    """Return the command's words for these values.

    Args:
        act: of the table.
        given: by value name, as the page sent it.
        folder: private; what is given as a file is written there.

    Raises:
        UsageError: `act-values` for an unknown, missing or ill-shaped value.
    """
    unknown = sorted(set(given) - {value.name for value in act.values})
    if unknown:
        raise UsageError("act-values", f"this act takes no {unknown[0][:40]!r}")
    words, arguments = list(act.words), []
    for place, value in enumerate(act.values):
        one = given.get(value.name)
        if one is None or one == "" or one is False:
            if value.required:
                raise UsageError("act-values", f"{value.name} is missing")
            continue
        for text in _texts(value, one, folder / str(place)):
            if value.option:
                words.append(f"{value.option}={text}" if value.kind != "flag" else value.option)
            else:
                arguments.append(text)
    return [*words, *(("--", *arguments) if arguments else ())]


def _texts(value: Value, given: object, file: Path) -> Iterable[str]:
    if value.kind == "flag" and given is True:
        return [""]
    if value.kind == "number" and isinstance(given, int) and not isinstance(given, bool):
        return [str(given)]
    if value.kind == "session" and not (isinstance(given, str) and is_session_id(given)):
        raise UsageError("act-values", f"{value.name} must be a session's id")
    if value.kind in ("text", "session") and isinstance(given, str):
        return [_argument_text(value, given)]
    if value.kind == "file" and isinstance(given, str) and len(given) <= MAX_VALUE_CHARS:
        write_private(file, given.encode())
        return [str(file)]
    if value.kind == "folder" and isinstance(given, dict) and len(given) <= MAX_VALUES:
        return [_folder(value, given, file)]
    if value.kind == "many" and isinstance(given, list) and len(given) <= MAX_VALUES:
        return [_argument_text(value, one) for one in given]
    if value.kind == "pairs" and isinstance(given, dict) and len(given) <= MAX_VALUES:
        return [f"{_pair_name(value, k)}={_argument_text(value, v)}" for k, v in given.items()]
    raise UsageError("act-values", f"{value.name} must be given as {value.kind}")


def _folder(value: Value, given: Mapping[object, object], folder: Path) -> str:
    folder.mkdir(mode=0o700)
    for name, text in given.items():
        if not isinstance(name, str) or not _FILE_NAME.match(name):
            raise UsageError("act-values", f"a name in {value.name} cannot be taken")
        if not isinstance(text, str) or len(text) > MAX_VALUE_CHARS:
            raise UsageError("act-values", f"{value.name} must be given as folder")
        write_private(folder / name, text.encode())
    return str(folder)


def _pair_name(value: Value, name: object) -> str:
    if not isinstance(name, str) or "=" in name:
        raise UsageError("act-values", f"a name in {value.name} cannot be taken")
    return _argument_text(value, name)


def _argument_text(value: Value, text: object) -> str:
    """Return a text that an argument can carry."""
    if not isinstance(text, str) or "\0" in text:
        raise UsageError("act-values", f"{value.name} must be text")
    if len(text.encode("utf-8", "replace")) > _MAX_ARGUMENT_BYTES:
        raise UsageError("act-values", f"{value.name} is too long")
    return text
