"""A runner that answers from recordings instead of starting anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from farhand_agent.platforms.commands import Outcome

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def printed(text: str | bytes = b"", error: str = "", exit_code: int = 0) -> Outcome:
    data = text.encode() if isinstance(text, str) else text
    return Outcome(exit_code, data, error.encode())


class Replay:
    """Answers commands by words that they have, the first key that fits; keeps what was asked.

    A key is words parted by blanks, all of which the command must have.
    """

    def __init__(self, answers: Mapping[str, Outcome]) -> None:
        self.answers = dict(answers)
        self.calls: list[list[str]] = []
        self.environments: list[dict[str, str]] = []

    def __call__(self, argv: Sequence[str], *, env: Any = None, **_: Any) -> Outcome:
        self.calls.append(list(argv))
        self.environments.append(dict(env or {}))
        for words, outcome in self.answers.items():
            if set(words.split(" ")) <= set(argv):
                return outcome
        raise AssertionError(f"nobody recorded {argv}")

    def called(self, words: str) -> list[str]:
        """Return the first command that had these words."""
        return next(call for call in self.calls if set(words.split(" ")) <= set(call))
