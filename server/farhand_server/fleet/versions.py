"""Which of two versions of one package is the newer, by the rules of whoever packaged it.  Pure.

    source                rules                     where they stand
    dpkg                  [epoch:]upstream[-rev]    deb-version(7), Debian Policy 5.6.12
    rpm                   [epoch:]version[-rel]     rpm-version(7), rpmvercmp
    pacman                [epoch:]version[-rel]     vercmp(8); its parts by the plain rules
    anything else         plain                     below

Debian: parts without digits are compared letter by letter, where `~` sorts before everything, the
end included, and letters before all else; parts of digits as numbers; in turn, from the left.

RPM: separators only part; `~` sorts before the end, `^` after the end but before anything else;
a number is newer than letters; letters by their code; what has parts left over is newer.  A missing
release is not compared, so `3.0` asks for any release of it.

Plain: runs of digits as numbers and runs of letters as words, anything else only parts.  `1.0` and
`1.0.0` are alike.  A word after the number makes it older when it says so (alpha, beta, rc ...),
else newer (1.0p1, 1.0.2a), and any number is newer than a word; a single letter says so only
before a number (1.0a2).  A leading `v` and what follows `+` (build metadata, SemVer 2.0 s10) do not
count.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, Final, Literal

__all__ = ["OPERATORS", "Operator", "compare_versions", "satisfies"]

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
OPERATORS: Final[dict[str, Callable[[int], bool]]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}

# A number that int() would refuse (CPython bounds it at 4300 digits) is compared as text.
_RUNS: Final = re.compile(r"[0-9]+|[a-z]+", re.ASCII)
_RPM_RUNS: Final = re.compile(r"[0-9]+|[A-Za-z]+|~|\^", re.ASCII)
_EPOCH: Final = re.compile(r"([0-9]+):(.*)", re.ASCII | re.DOTALL)
_EARLIER: Final = {
    "dev": -7, "snapshot": -7, "a": -6, "alpha": -6, "b": -5, "beta": -5, "m": -4, "milestone": -4,
    "c": -3, "cr": -3, "rc": -3, "pre": -3, "preview": -3,
}  # fmt: skip


def compare_versions(source: str, one: str, other: str) -> int:
    """Return less than, equal to or more than 0, as `one` is older, alike or newer.

    Args:
        source: where the package is from, as the `software` section names it (`dpkg`, `rpm`, ...).
        one: any text; what follows no rule is still ordered, always in the same way.
        other: any text.
    """
    return _RULES.get(source.lower(), _plain)(one, other)


def satisfies(source: str, version: str, operator: str, wanted: str) -> bool:
    """Tell whether a version stands to the wanted one as the operator says."""
    return OPERATORS[operator](compare_versions(source, version, wanted))


def _sign(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    return int(one > other) - int(one < other)


def _number(digits: str) -> tuple[int, str]:
    """Return what orders runs of digits as numbers, however long they are."""
    bare = digits.lstrip("0")
    return len(bare), bare


def _parts(version: str) -> tuple[tuple[int, str], str, str | None]:
    """Cut [epoch:]version[-release]; release is None where there is none."""
    version = version.strip()
    epoch = _EPOCH.match(version)
    rest = epoch[2] if epoch else version
    upstream, hyphen, release = rest.rpartition("-")
    if not hyphen:
        upstream, release = rest, ""
    return _number(epoch[1] if epoch else "0"), upstream, release if hyphen else None


# Debian.


def _debian(one: str, other: str) -> int:
    one_epoch, one_upstream, one_revision = _parts(one)
    other_epoch, other_upstream, other_revision = _parts(other)
    return (
        _sign(one_epoch, other_epoch)
        or _debian_part(one_upstream, other_upstream)
        or _debian_part(one_revision or "0", other_revision or "0")
    )


def _debian_rank(character: str) -> tuple[int, int]:
    if character == "~":
        return -1, 0
    if character == "":
        return 0, 0
    return (1 if character.isascii() and character.isalpha() else 2), ord(character)


def _debian_part(one: str, other: str) -> int:
    while one or other:
        one_words, one = _leading(one, digits=False)
        other_words, other = _leading(other, digits=False)
        for at in range(max(len(one_words), len(other_words))):
            ranks = _debian_rank(one_words[at : at + 1]), _debian_rank(other_words[at : at + 1])
            if found := _sign(*ranks):
                return found
        one_digits, one = _leading(one, digits=True)
        other_digits, other = _leading(other, digits=True)
        if found := _sign(_number(one_digits), _number(other_digits)):
            return found
    return 0


def _leading(text: str, *, digits: bool) -> tuple[str, str]:
    length = 0
    while length < len(text) and ("0" <= text[length] <= "9") == digits:
        length += 1
    return text[:length], text[length:]


# RPM.


def _rpm(one: str, other: str) -> int:
    return _with_release(one, other, _rpm_part)


def _with_release(one: str, other: str, compare: Callable[[str, str], int]) -> int:
    one_epoch, one_version, one_release = _parts(one)
    other_epoch, other_version, other_release = _parts(other)
    found = _sign(one_epoch, other_epoch) or compare(one_version, other_version)
    if found or one_release is None or other_release is None:
        return found
    return compare(one_release, other_release)


def _rpm_part(one: str, other: str) -> int:
    ours, theirs = _RPM_RUNS.findall(one), _RPM_RUNS.findall(other)
    for at in range(max(len(ours), len(theirs))):
        mine = ours[at] if at < len(ours) else ""
        its = theirs[at] if at < len(theirs) else ""
        if found := _sign(_rpm_rank(mine), _rpm_rank(its)):
            return found
    return 0


def _rpm_rank(run: str) -> tuple[int, tuple[int, str]]:
    if run == "~":
        return -1, (0, "")
    if run == "":
        return 0, (0, "")
    if run == "^":
        return 1, (0, "")
    return (3, _number(run)) if run.isdigit() else (2, (0, run))


# Everything else.


def _pacman(one: str, other: str) -> int:
    return _with_release(one, other, _plain)


def _plain(one: str, other: str) -> int:
    for mine, its in itertools.zip_longest(_ranks(one), _ranks(other), fillvalue=_NOTHING):
        if found := _sign(mine, its):
            return found
    return 0


def _ranks(version: str) -> list[_Rank]:
    """Return the runs of a version, each as what it sorts by; nothing follows as zeros do."""
    text = version.strip().lower().partition("+")[0]
    if text[:1] == "v" and text[1:2].isdigit():
        text = text[1:]
    runs = _RUNS.findall(text)
    return [_rank(run, following) for run, following in zip(runs, [*runs[1:], ""], strict=False)]


def _rank(run: str, following: str) -> _Rank:
    if run.isdigit():
        number = _number(run)
        return (2 if number[1] else 0, number)
    # 1.0a2 is an alpha, 1.0.2a is OpenSSL's first patch after 1.0.2.
    if run in _EARLIER and (len(run) > 1 or following.isdigit()):
        return (_EARLIER[run], (0, ""))
    return (1, (0, run))


_Rank = tuple[int, tuple[int, str]]
_NOTHING: Final = (0, (0, ""))
_RULES: Final[dict[str, Callable[[str, str], int]]] = {
    "dpkg": _debian,
    "deb": _debian,
    "rpm": _rpm,
    "pacman": _pacman,
}
