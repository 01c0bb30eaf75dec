"""What Windows tells, asked by one PowerShell for all sections of a run.

`inventory.ps1` holds every query under the name of its part and prints one JSON document.  A
section module says which parts it reads when it is imported, so a run of three sections asks for
the parts of three.  A part that fails costs the sections that need it, and says why by number:
Windows' own words are in the language of its owner and are shown, never read.

Source: MS-ERREF and "WMI Error Constants" for the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any, Final

from farhand_agent.inventory.context import Context, Denied, Malformed, Unsupported
from farhand_agent.inventory.registry import Collect, section
from farhand_agent.inventory.shared_answer import SharedAnswer
from farhand_agent.patches.powershell import command_line
from farhand_protocol.errors import FarhandError

__all__ = ["SCRIPT", "WAIT_S", "QueryFailed", "Told", "ask", "parse_answer", "windows_section"]

SCRIPT: Final = "inventory.ps1"
# Event logs and the device list of a busy server take their time; sections wait a little longer.
_SCRIPT_S: Final = 120.0
WAIT_S: Final = 140.0
_SOURCE: Final = "PowerShell"
_MAX_WORDS_CHARS: Final = 300

# By the last 32 bits: no such class, namespace, object, method; not supported.
_ABSENT: Final = {0x80041010, 0x8004100E, 0x80041002, 0x8004102E, 0x8004100C, 0x80070490}
_FORBIDDEN: Final = {0x80041003, 0x80070005, 0x8013150A, 0x8009030E}
_ABSENT_IDS: Final = ("CommandNotFoundException", "CouldNotAutoLoadModule", "TypeNotFound")
_FORBIDDEN_KINDS: Final = ("PermissionDenied", "SecurityError")

Parse = Callable[["Told"], list[dict[str, Any]]]
_answers: Final[SharedAnswer[dict[str, Any]]] = SharedAnswer()
_wanted: Final[set[str]] = set()


class QueryFailed(FarhandError):
    """Windows could not answer one query, and not for want of rights."""

    def __init__(self, part: str, words: str) -> None:
        super().__init__("collector-query-failed", f"{part}: {words[:_MAX_WORDS_CHARS]}")


class Told:
    """The parts of one answer.

    Args:
        parts: by name what the script printed for it.
        note: takes remarks for the technician.
    """

    def __init__(self, parts: Mapping[str, Any], note: Callable[[str], None]) -> None:
        self._parts = parts
        self.note = note

    def rows(self, part: str) -> list[dict[str, Any]]:
        """Return a part's objects, whether ConvertTo-Json made a list of them or not.

        Raises:
            Unsupported, Denied, QueryFailed: why Windows did not answer.
            Malformed: the part is of another shape.
        """
        told = self._parts.get(part)
        if not isinstance(told, dict):
            raise Malformed(f"{_SOURCE} ({part})")
        if "error" in told:
            raise _refusal(part, told["error"])
        value = told.get("value")
        # Windows PowerShell writes some arrays as {"value": [...], "Count": n}.
        if isinstance(value, dict) and set(value) == {"value", "Count"}:
            value = value["value"]
        if value is None:
            return []
        if isinstance(value, dict):
            return [value]
        if not isinstance(value, list):
            raise Malformed(f"{_SOURCE} ({part})")
        # An object below the depth of the document would be text; it says nothing.
        return [one for one in value if isinstance(one, dict)]

    def row(self, part: str) -> dict[str, Any]:
        """Return a part's first object, {} where there is none.

        Raises:
            Unsupported, Denied, QueryFailed, Malformed: as `rows`.
        """
        return next(iter(self.rows(part)), {})

    def also(self, part: str) -> list[dict[str, Any]]:
        """Return a part's objects; where there is no answer, note it and return none."""
        try:
            return self.rows(part)
        except FarhandError as error:
            self.note(f"without {part}: {error.message}")
            return []

    def also_row(self, part: str) -> dict[str, Any]:
        """Return a part's first object; where there is no answer, note it and return {}."""
        return next(iter(self.also(part)), {})


def windows_section(
    name: str,
    *,
    parts: Iterable[str],
    personal: Iterable[str] = (),
    volatile: bool = False,
    opt_in: bool = False,
) -> Callable[[Parse], Parse]:
    """Register the decorated parser as the collector of a section on Windows.

    Args:
        name: the section.
        parts: those of `inventory.ps1` that the parser reads.
        personal, volatile, opt_in: as `registry.section`.
    """

    def register(parse: Parse) -> Parse:
        _wanted.update(parts)

        def collect(context: Context) -> list[dict[str, Any]]:
            return parse(ask(context))

        registered: Collect = collect
        section(
            name, platform="windows", timeout_s=WAIT_S, personal=personal, volatile=volatile,
            opt_in=opt_in,
        )(registered)  # fmt: skip
        return parse

    return register


def ask(context: Context) -> Told:
    """Return what Windows tells about everything that the imported sections want to know.

    Raises:
        CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: PowerShell did not run.
        Malformed: it printed something else.
    """
    wanted = frozenset(_wanted)

    def run() -> dict[str, Any]:
        # The file is read and run as text: policy may forbid script files, and the whole script
        # is longer than a command line may be.
        with resources.as_file(resources.files(__package__) / SCRIPT) as path:
            quoted = str(path).replace("'", "''")
            names = ",".join(f"'{name}'" for name in sorted(wanted))
            text = (
                f"$text = [IO.File]::ReadAllText('{quoted}', [Text.Encoding]::UTF8); "
                f"& ([scriptblock]::Create($text)) -Wanted @({names})"
            )
            outcome = context.run(command_line(text), timeout_s=_SCRIPT_S, ok=None)
        return parse_answer(outcome.stdout)

    return Told(_answers.get((context.runner, wanted), run), context.note)


def parse_answer(output: bytes) -> dict[str, Any]:
    """Return the parts by name in what the script printed.

    Raises:
        Malformed: it is not one JSON object with parts.
    """
    try:
        document = json.loads(output.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise Malformed(_SOURCE) from error
    parts = document.get("parts") if isinstance(document, dict) else None
    if not isinstance(parts, dict):
        raise Malformed(_SOURCE)
    return parts


def _refusal(part: str, error: Any) -> FarhandError:
    told = error if isinstance(error, dict) else {}
    identity, words = str(told.get("id")), str(told.get("words") or "no reason given")
    numbers = {told["number"] & 0xFFFFFFFF} if isinstance(told.get("number"), int) else set()
    numbers |= {one for one in _ABSENT | _FORBIDDEN if f"0x{one:08x}" in identity.lower()}
    if numbers & _FORBIDDEN or told.get("kind") in _FORBIDDEN_KINDS:
        return Denied(f"{part}: {words[:_MAX_WORDS_CHARS]}")
    if numbers & _ABSENT or any(one in identity for one in _ABSENT_IDS):
        return Unsupported(f"{part} is not known to this Windows")
    return QueryFailed(part, words)
