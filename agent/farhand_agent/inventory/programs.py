"""The program in a line that starts one.  Never more: arguments hold passwords and tokens."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["program_of"]

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=(?:\"[^\"]*\"|'[^']*'|\S*)(?:\s+|\Z)")
# Up to white space or what a shell would read as the end of a word.
_WORD: Final = re.compile(r"\"([^\"]{1,400})\"|'([^']{1,400})'|([^\s;|&<>()$`\"'=]{1,400})")
_WRAPPERS: Final = ("exec", "nice", "ionice", "nohup", "sudo", "env", "command")


def program_of(line: str) -> str | None:
    """Return the program that a command line starts, without its arguments.

    Assignments before it are skipped, and so is one plain wrapper (`exec`, `nohup`).
    """
    rest = line.strip().lstrip("-@:+!")
    for _ in range(20):
        rest = rest.lstrip("[({ ")
        while found := _ASSIGNMENT.match(rest):
            rest = rest[found.end() :]
        word = _WORD.match(rest)
        if not word:
            return None
        program = next(one for one in word.groups() if one)
        after = rest[word.end() :].lstrip()
        if program not in _WRAPPERS or not after or after.startswith("-"):
            return program
        rest = after
    return None
