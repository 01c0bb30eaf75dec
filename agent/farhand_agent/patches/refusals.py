"""What a package manager's failure means, in the same stable words for all of them.

Package managers answer one exit code to nearly everything, so their words decide: a provider has
a table of patterns, and of exit codes where those are telling.  Nothing is guessed: what no row
knows stays `patch-failed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from farhand_agent.patches.provider import LOG_TAIL_BYTES, ProviderError, State

__all__ = ["Row", "refusal", "text_tail", "unreadable"]

# A pattern, and the code that it means.
Row = tuple[str, str]

# A failure is told at the end; a pattern in a page of progress before it would mislead.
_JUDGED_CHARS: Final = 4000
_DETAIL_CHARS: Final = 500
_WORDS: Final = {
    "patch-denied": "needs more rights",
    "patch-locked": "another package manager holds the lock",
    "patch-interrupted": "an earlier run was interrupted",
    "patch-held": "a held package would have to change",
    "patch-unknown-update": "a package or version is not known",
    "patch-unmet-dependencies": "dependencies cannot be met",
    "patch-untrusted": "a signature or checksum does not hold",
    "patch-disk-full": "there is not enough free space",
    "patch-network": "a repository cannot be reached",
    "patch-not-refreshed": "there are no repository indexes yet",
    "patch-no-rollback": "the version from before is not at hand",
    "patch-in-use": "a program that is to be updated is running",
    "patch-reboot-first": "a restart must come first",
    "patch-blocked": "this device's rules forbid it",
    "patch-failed": "it failed",
}
_HINTS: Final = {
    "patch-denied": "run it with the rights of an administrator",
    "patch-interrupted": "run: dpkg --configure -a",
}
_STATES: Final[dict[str, State]] = {"patch-denied": "denied", "patch-locked": "locked"}
_RETRYABLE: Final = frozenset(["patch-locked", "patch-network", "patch-in-use"])


def refusal(
    tool: str,
    exit_code: int,
    text: str,
    rows: Sequence[Row],
    exits: Mapping[int, str] | None = None,
) -> ProviderError:
    """Return the error that an exit code and the words beside it stand for.

    Args:
        tool: the package manager's name.
        exit_code: as the process ended.
        text: what it printed, its errors last.
        rows: patterns and what they mean, the most telling first.
        exits: what exit codes mean that need no words.
    """
    tail = text[-_JUDGED_CHARS:]
    code = (exits or {}).get(exit_code)
    if code is None:
        code = next((one for pattern, one in rows if re.search(pattern, tail)), "patch-failed")
    words = f"ended with {exit_code}" if code == "patch-failed" else f": {_WORDS[code]}"
    return ProviderError(
        code,
        f"{tool}{words}" if words[0] == ":" else f"{tool} {words}",
        hint=_HINTS.get(code),
        detail=tail[-_DETAIL_CHARS:],
        state=_STATES.get(code, "error"),
        retryable=code in _RETRYABLE,
        log_tail=text_tail(text.encode("utf-8", "replace")),
        tool_exit_code=exit_code,
    )


def text_tail(output: bytes) -> str:
    """Return the last 64 KiB of output as text, a character that was cut in two left out."""
    return output[-LOG_TAIL_BYTES:].decode("utf-8", "ignore")


def unreadable(tool: str, output: str) -> ProviderError:
    """Return the error for output that is not in the form which the tool is known to print."""
    return ProviderError(
        "patch-unreadable",
        f"{tool} printed what cannot be read",
        detail=output[-_DETAIL_CHARS:],
        log_tail=text_tail(output.encode("utf-8", "replace")),
    )
