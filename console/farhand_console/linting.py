"""Linting a script folder before anybody is asked to approve it.

Three kinds of questions, none of which runs the script:

    ours      line ends, a shebang that names another interpreter, platforms the interpreter is not
              on, a change that nothing verifies, text that the approver would not see as it is
    syntax    python compiles it, `sh -n` or PowerShell's own parser reads it
    linters   shellcheck for sh and PSScriptAnalyzer for PowerShell, where they are installed here

A problem stops `script submit`; a note does not.  A linter that is not installed is a note that
names it, so that nobody takes silence for praise.
"""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from typing import Any, NamedTuple

from farhand_protocol.complaints import plain_reason

__all__ = ["Lint", "lint"]

_LINT_S = 60
_MAX_LINES = 50
_MAX_COLUMNS = 400
_INTERPRETERS = {"sh": ("sh", "dash", "bash"), "python": ("python",), "powershell": ("pwsh",)}
# Where an agent finds each of them (agent/farhand_agent/scripts/body.py).
_RUNS_ON = {"sh": {"linux", "macos"}, "powershell": {"windows"}}
# PowerShell reads the body on stdin: no name, no quoting.
_PARSE = (
    "$e = $null; [void][System.Management.Automation.Language.Parser]::ParseInput("
    "[Console]::In.ReadToEnd(), [ref]$null, [ref]$e); $e | ForEach-Object { $_.Message }"
)
_ANALYSE = (
    "if (-not (Get-Module -ListAvailable PSScriptAnalyzer)) { 'absent' } else {"
    " Invoke-ScriptAnalyzer -ScriptDefinition ([Console]::In.ReadToEnd())"
    ' -Severity Warning,Error | ForEach-Object { "line $($_.Line): $($_.Message)" } }'
)


class Lint(NamedTuple):
    """What linting found: problems that stop a submission, and notes that do not."""

    problems: list[str]
    notes: list[str]


def lint(table: dict[str, Any], body: bytes) -> Lint:
    """Return what is wrong with a script beyond its manifest.

    Args:
        table: the manifest's fields, as `read_folder` returns them.
        body: the script.
    """
    found = Lint([], [])
    _check_text(table, body, found)
    match table["interpreter"]:
        case "python":
            _check_python(body, found)
        case "sh":
            _check_shell(body, found)
        case _:
            _check_powershell(body, found)
    return found


def _check_text(table: dict[str, Any], body: bytes, found: Lint) -> None:
    interpreter = str(table["interpreter"])
    if b"\r\n" in body and interpreter != "powershell":
        found.problems.append("the body has Windows line ends")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        found.problems.append("the body is no UTF-8")
        return
    hidden = {
        c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\t\n\r\ufeff"
    }
    if hidden:
        names = ", ".join(f"U+{ord(c):04X}" for c in sorted(hidden)[:5])
        found.problems.append(f"the body holds characters that a reader does not see: {names}")
    for number, one in enumerate(text.splitlines(), 1):
        if len(one) > _MAX_COLUMNS:
            found.notes.append(f"line {number} is {len(one)} characters long: hard to read")
            break
    first = text.splitlines()[0] if text else ""
    if first.startswith("#!") and not any(one in first for one in _INTERPRETERS[interpreter]):
        found.problems.append(f"the first line names another interpreter than {interpreter}")
    elsewhere = sorted(set(table["platforms"]) - _RUNS_ON.get(interpreter, set(table["platforms"])))
    if elsewhere:
        found.problems.append(f"{interpreter} does not run on {', '.join(elsewhere)}")
    if table.get("risk") in ("R2", "R3") and not table.get("verify"):
        found.notes.append("it changes a device and names no script that verifies it")
    if not str(table.get("description") or "").strip():
        found.notes.append("it has no description for its approvers")


def _check_python(body: bytes, found: Lint) -> None:
    try:
        compile(body, "script.py", "exec")
    except (SyntaxError, ValueError) as error:
        found.problems.append(f"python: {error}")


def _check_shell(body: bytes, found: Lint) -> None:
    parsed = _ran(["/bin/sh", "-n"], body)
    if parsed is None:
        found.notes.append("there is no /bin/sh here: the syntax was not checked")
    elif parsed.returncode:
        found.problems.append(f"sh: {_words(parsed.stderr)[:400]}")
    linter = shutil.which("shellcheck")
    checked = _ran([linter, "-s", "sh", "-f", "gcc", "-"], body) if linter else None
    if checked is None:
        found.notes.append("shellcheck is not installed here: not linted")
    elif checked.returncode not in (0, 1):
        found.notes.append(f"shellcheck failed: {_words(checked.stderr)[:400]}")
    else:
        found.problems.extend(_words(checked.stdout).splitlines()[:_MAX_LINES])


def _check_powershell(body: bytes, found: Lint) -> None:
    shell = shutil.which("pwsh") or shutil.which("powershell")
    words = [shell, "-NoProfile", "-NonInteractive", "-Command"] if shell else []
    parsed = _ran([*words, _PARSE], body) if words else None
    if parsed is None:
        found.notes.append("PowerShell is not installed here: neither parsed nor linted")
        return
    found.problems.extend(f"powershell: {one}" for one in _words(parsed.stdout).splitlines()[:5])
    checked = _ran([*words, _ANALYSE], body)
    answer = _words(checked.stdout) if checked is not None else "absent"
    if answer == "absent":
        found.notes.append("PSScriptAnalyzer is not installed here: not linted")
    else:
        found.problems.extend(answer.splitlines()[:_MAX_LINES])


def _ran(words: list[str], body: bytes) -> subprocess.CompletedProcess[bytes] | None:
    """Run a linter on the body; None where it cannot be started."""
    try:
        return subprocess.run(words, input=body, capture_output=True, check=False, timeout=_LINT_S)
    except subprocess.TimeoutExpired as error:
        # A linter that hangs on a body has said nothing about it, which is not praise either.
        return subprocess.CompletedProcess(words, 2, b"", plain_reason(error).encode())
    except OSError:
        return None


def _words(data: bytes) -> str:
    return data.decode(errors="replace").strip()
