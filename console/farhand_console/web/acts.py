"""What the page can ask this machine to do, as a closed table: each act is one `farhand` command.

The command line and the page so have one implementation, one check of what is verified and signed,
and one set of errors.  The page names an act and gives values; which words the command gets stands
here and nowhere else.  A value is one argument and never becomes an option or a second command.

    kind of value     in the page's JSON       what the command gets
    text              a string                 --option=VALUE, or VALUE after `--`
    number            an integer               the same
    flag              true or false            --option, or nothing
    many              a list of strings        --option=VALUE for each
    pairs             an object of strings     --option=NAME=VALUE for each
    file              a string                 --option=PATH of a private file with these words

`signs`: the operator's key is used, and the person is asked for it each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from farhand_console.home import write_private
from farhand_protocol.errors import UsageError

__all__ = ["ACTS", "MAX_VALUES", "MAX_VALUE_CHARS", "Act", "Value", "command_words"]

MAX_VALUE_CHARS: Final = 1024 * 1024
MAX_VALUES: Final = 500
_MAX_ARGUMENT_BYTES: Final = 100_000
Kind = Literal["text", "number", "flag", "many", "pairs", "file"]


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

ACTS: Final[Mapping[str, Act]] = {
    "whoami": Act(words=("whoami",)),
    "session-open": Act(words=("session", "open"), values=_OPEN, signs=True),
    "session-end": Act(
        words=("session", "end"),
        values=(_option("note"), _option("hand_over", "flag"), _argument("session")),
    ),
    "run": Act(
        words=("run",),
        values=(
            _option("device", required=True),
            _option("param", "pairs"),
            _option("ticket"),
            _option("wait", "flag"),
            _argument("script"),
        ),
        signs=True,
    ),
    "trust-status": Act(words=("trust", "status")),
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
    if value.kind == "text" and isinstance(given, str):
        return [_argument_text(value, given)]
    if value.kind == "file" and isinstance(given, str) and len(given) <= MAX_VALUE_CHARS:
        write_private(file, given.encode())
        return [str(file)]
    if value.kind == "many" and isinstance(given, list) and len(given) <= MAX_VALUES:
        return [_argument_text(value, one) for one in given]
    if value.kind == "pairs" and isinstance(given, dict) and len(given) <= MAX_VALUES:
        return [f"{_pair_name(value, k)}={_argument_text(value, v)}" for k, v in given.items()]
    raise UsageError("act-values", f"{value.name} must be given as {value.kind}")


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
