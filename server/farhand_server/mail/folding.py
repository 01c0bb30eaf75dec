"""What of a mail's text is history or signature, to be folded: ranges, never a deletion.

| what begins it | how far it goes |
|---|---|
| our line to answer above | to our mark; without it, to the end |
| `-----Original Message-----`, or a block of headers (Outlook) | to the end |
| an attribution with a date, nothing quoted behind it | to the end |
| an attribution, then `>` lines (Gmail, Apple Mail, Thunderbird) | the last `>` line |
| `>` lines at the end, or at the beginning, of two lines or more | the last of them |
| `-- `, or "Sent from my ..." | to what follows of the above, 15 lines at most |

What is forwarded is what the mail is about: it is not folded, nor is a block of headers in a mail
whose subject says `Fwd:`.  Answers between and below quoted lines stay.  `>` lines that no
attribution announced, in the middle of a text, are something that the writer quoted herself.  Where
folding would leave nothing to read, nothing is folded.

Made at the time of showing, so that a better rule also helps old mails.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from farhand_server.mail.attribution import (
    attribution_start,
    header_block,
    is_forward_line,
    is_original_line,
    stands_alone,
)
from farhand_server.mail.markers import is_marker, names_mark

__all__ = ["Fold", "fold", "visible_text"]

_MAX_SIGNATURE_LINES: Final = 15
_MAX_SIGNATURE_CHARS: Final = 1500
_FORWARDED = re.compile(r"\s*(?:fwd?|wg|enc|i|tr|wtr|пер|пересл)\s?:", re.IGNORECASE)
_QUOTED = re.compile(r"\s{0,3}>")
_BLANKS = re.compile(r"\n{3,}")


class Fold(NamedTuple):
    """A range of a text, in characters: `text[start:end]`."""

    kind: Literal["history", "signature"]
    start: int
    end: int


def fold(text: str, *, subject: str = "") -> tuple[Fold, ...]:
    """Return what to fold of a text, in its order and apart from each other.

    Args:
        text: as `mail.parsing` makes it.
        subject: of the mail; `Fwd:` in front says that the headers in it are its matter.
    """
    lines = text.split("\n")
    folder = _Folder(lines, forwarded=_FORWARDED.match(subject) is not None)
    folder.find_history()
    if not folder.leaves_words():
        folder.kinds = [None] * len(lines)
    folder.find_signature()
    return _ranges(lines, folder.kinds)


def visible_text(text: str, *, subject: str = "") -> str:
    """Return a text without what is folded of it."""
    pieces: list[str] = []
    at = 0
    for one in fold(text, subject=subject):
        pieces.append(text[at : one.start])
        at = one.end
    pieces.append(text[at:])
    return _BLANKS.sub("\n\n", "".join(pieces)).strip()


_Kind = Literal["history", "signature"] | None


class _Folder:
    """Gives each line its kind; None for what stays."""

    def __init__(self, lines: list[str], *, forwarded: bool) -> None:
        self.lines = lines
        self.kinds: list[_Kind] = [None] * len(lines)
        self._forwarded = forwarded
        self._quoted = [_QUOTED.match(line) is not None for line in lines]

    def leaves_words(self) -> bool:
        """Tell whether anything to read stays."""
        return any(
            kind is None and re.search(r"\w", line) is not None and not names_mark(line)
            for line, kind in zip(self.lines, self.kinds, strict=True)
        )

    def find_history(self) -> None:
        """Walk over the text once."""
        at, announced = 0, False
        while at < len(self.lines):
            if is_marker(self.lines[at]):
                at = self._fold_ours(at)
            elif is_forward_line(self.lines[at]) and self._heads(self._next(at)):
                # From here on it is what the mail is about.
                return
            elif self._begins_headers(at):
                if self._forwarded or not self._said_before(at):
                    return
                self._fold(self._with_rule(at), len(self.lines))
                return
            elif self._quoted[at]:
                at = self._fold_quoted(at, announced=announced)
            elif (end := self._attributes(at)) is not None:
                announced = True
                if end == len(self.lines):
                    return
                at = end
            else:
                at += 1

    def find_signature(self) -> None:
        """Find the signature of what stays."""
        open_lines = [at for at, kind in enumerate(self.kinds) if kind is None]
        marks = [at for at in open_lines if self.lines[at] in ("--", "-- ")]
        if marks:
            start = marks[-1]
            end = self._block_end(start)
            size = sum(len(line) + 1 for line in self.lines[start:end])
            said = any(self.lines[at].strip() for at in open_lines if at < start)
            if said and end - start <= _MAX_SIGNATURE_LINES + 1 and size <= _MAX_SIGNATURE_CHARS:
                self._fold(start, end, "signature")
                return
        spoken = [at for at in open_lines if self.lines[at].strip()]
        if len(spoken) > 1 and stands_alone(self.lines[spoken[-1]]):
            self._fold(spoken[-1], spoken[-1] + 1, "signature")

    # What begins where.

    def _begins_headers(self, at: int) -> bool:
        line = self.lines[at]
        if self._quoted[at] or not line.strip():
            return False
        if is_original_line(line):
            return self._heads(self._next(at))
        return self._heads(at)

    def _heads(self, at: int) -> bool:
        return at < len(self.lines) and header_block(self.lines, at) > 0

    def _next(self, at: int) -> int:
        at += 1
        while at < len(self.lines) and not self.lines[at].strip(" >|"):
            at += 1
        return at

    def _said_before(self, at: int) -> bool:
        return any(
            line.strip() and kind is None and not is_original_line(line)
            for line, kind in zip(self.lines[:at], self.kinds[:at], strict=True)
        )

    def _with_rule(self, at: int) -> int:
        before = at - 1
        while before >= 0 and not self.lines[before].strip():
            before -= 1
        return before if before >= 0 and is_original_line(self.lines[before]) else at

    def _attributes(self, at: int) -> int | None:
        """Fold an attribution that ends here; return where what it announces ends."""
        line = self.lines[at].rstrip()
        if not line.endswith((":", ":*", "\uff1a", ":\u200b")):
            return None
        after = self._next(at)
        if after >= len(self.lines):
            return None
        quoted = self._quoted[after]
        start = attribution_start(self.lines, at, quoted=quoted)
        if start is None:
            return None
        if quoted:
            self._fold(self._with_rule(start), after)
            return self._fold_quoted(after, announced=True)
        if self._heads(after):
            # Headers with an announcement are somebody's forwarded mail.
            return len(self.lines)
        if not self._said_before(start):
            return None
        self._fold(self._with_rule(start), len(self.lines))
        return len(self.lines)

    def _fold_quoted(self, at: int, *, announced: bool) -> int:
        start = end = at
        while at < len(self.lines) and (self._quoted[at] or not self.lines[at].strip()):
            if self._quoted[at]:
                end = at + 1
            at += 1
        first = not any(self.lines[place].strip() for place in range(start))
        last = self._is_end(at) and not self._leads_up(start)
        # Apple Mail quotes its attribution with the rest.
        announced = announced or self._announces(start)
        if announced or ((first or last) and end - start >= 2):
            self._fold(start, end)
        return end

    def _announces(self, at: int) -> bool:
        line = self.lines[at].lstrip("> |")
        return attribution_start([line], 0, quoted=True) is not None

    def _leads_up(self, at: int) -> bool:
        # "I typed this:" and then lines with a prompt.
        before = at - 1
        while before >= 0 and not self.lines[before].strip():
            before -= 1
        return before >= 0 and self.lines[before].rstrip().endswith(":")

    def _is_end(self, at: int) -> bool:
        rest = (self.lines[place] for place in range(at, len(self.lines)))
        after = next((line for line in rest if line.strip()), "--")
        return after in ("--", "-- ") or stands_alone(after)

    def _fold_ours(self, at: int) -> int:
        start = at
        before = at - 1
        while before >= 0 and not self.lines[before].strip(" >|"):
            before -= 1
        if before >= 0 and self.kinds[before] is None and not self._quoted[before]:
            announced = attribution_start(self.lines, before, quoted=True)
            start = before + 1 if announced is None else announced
        end = at
        while end < len(self.lines) and not names_mark(self.lines[end]):
            end += 1
        end = min(end + 1, len(self.lines))
        self._fold(start, end)
        return end

    def _block_end(self, start: int) -> int:
        end = start
        while end < len(self.lines) and self.kinds[end] is None:
            end += 1
        return end

    def _fold(self, start: int, end: int, kind: _Kind = "history") -> None:
        self.kinds[start:end] = [kind] * (end - start)


def _ranges(lines: list[str], kinds: list[_Kind]) -> tuple[Fold, ...]:
    found: list[Fold] = []
    at = 0
    for line, kind in zip(lines, kinds, strict=True):
        end = at + len(line) + 1
        if kind is not None:
            if found and found[-1].kind == kind and found[-1].end == at:
                found[-1] = Fold(kind, found[-1].start, end)
            else:
                found.append(Fold(kind, at, end))
        at = end
    # The last line has no line end.
    return tuple(Fold(one.kind, one.start, min(one.end, at - 1)) for one in found)
