"""Whether what a program of macOS printed was understood.

macOS changes what its programs print without a word.  A parser that skips what it does not know
would then find nothing, and nothing would read as "there is none": so what was printed is held
against what was found.
"""

from __future__ import annotations

import re

from farhand_agent.inventory.context import Context, Malformed

__all__ = ["require_lines", "require_mark"]


def require_lines(
    context: Context,
    source: str,
    output: str,
    count: int,
    *,
    aside: str | None = None,
    silent: bool = False,
) -> None:
    """Compare the lines that a program printed with those that were understood.

    Args:
        context: takes a note of lines that were not.
        source: the program's name.
        output: what it printed.
        count: how many lines were understood.
        aside: a pattern, in the whole line, of headings and of lines that are left out on purpose.
        silent: whether printing nothing means that there is nothing.

    Raises:
        Malformed: no line was understood, or it printed nothing though it always does.
    """
    lines = [line for line in output.split("\n") if line.strip()]
    if not lines and not silent:
        raise Malformed(source)
    left = [line for line in lines if not aside or not re.search(aside, line)]
    if left and not count:
        raise Malformed(source)
    if len(left) > count:
        context.note(f"{len(left) - count} lines of {source} cannot be read")


def require_mark(source: str, output: str, pattern: str) -> None:
    """Make sure that a program printed what it always prints.

    Raises:
        Malformed: it did not.
    """
    if not re.search(pattern, output, re.MULTILINE):
        raise Malformed(source)
