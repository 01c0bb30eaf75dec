"""Takes secrets out of text before anybody packs it: keys, tokens, passwords, told by their form.

This runs over everything that goes into a bundle, whatever else was asked for, and cannot be
switched off.  It knows forms, not meanings: a password written as a plain word in a sentence is not
found.  What was found is replaced by `[removed: KIND]`, so that a reader sees that there was one.
All patterns are linear in the text and bounded in what they take.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["SecretFilter"]

# The value behind a name that says it is secret: quoted, or up to white space or a separator.
_VALUE: Final = r"""(?:"[^"\n]{1,400}"|'[^'\n]{1,400}'|[^\s"'&;,]{1,400})"""
_NAMES: Final = (
    r"pass(?:word|wd|phrase)?|pwd|secret|client[_-]?secret|token|access[_-]?token|auth[_-]?token"
    r"|refresh[_-]?token|api[_-]?key|apikey|secret[_-]?key|private[_-]?key|access[_-]?key"
    r"|credential|community|psk|wpa[_-]?psk|sasl[_-]?pass(?:word)?"
)
_NAMED: Final = re.compile(
    rf"(?i)(?<![a-z0-9])((?:[a-z0-9]{{1,40}}[_.-]){{0,4}}(?:{_NAMES}))"
    rf"""(["']?\s{{0,4}}(?::=|=>|[=:])\s{{0,4}})(?!\[removed)({_VALUE})"""
)
_OPTION: Final = re.compile(rf"(?i)(--(?:[a-z0-9]{{1,40}}-){{0,4}}(?:{_NAMES})[= ])({_VALUE})")
_PATTERNS: Final = (
    (
        "private key",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?!-----BEGIN )[\s\S]){0,20000}?"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
    ),
    ("private key", re.compile(r"AGE-SECRET-KEY-1[A-Z0-9]{20,80}")),
    ("enrolment token", re.compile(r"\bfh1:[A-Za-z0-9_=+/.~-]{16,4000}")),
    ("token", re.compile(r"\beyJ[\w-]{8,4000}\.[\w-]{8,8000}(?:\.[\w-]{0,4000}){0,3}")),
    ("token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,255}|\bgithub_pat_\w{20,255}")),
    ("token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}|\bglpat-[\w-]{16,255}")),
    ("token", re.compile(r"\bsk-[A-Za-z0-9_-]{20,255}|\bAIza[\w-]{30,60}|\bya29\.[\w-]{20,2000}")),
    ("access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    (
        "password hash",
        re.compile(r"\$(?:1|2[abxy]|5|6|y|gy|argon2id?|scrypt|7)\$[\w./,=+$-]{8,400}"),
    ),
)
_BEARER: Final = re.compile(
    r"(?i)((?:authorization|proxy-authorization)\s{0,4}[:=]\s{0,4}(?:bearer|basic|digest|token)?\s?)"
    r"(?!\[removed)([^\r\n]{4,4000})"
)
_COOKIE: Final = re.compile(r"(?i)(\b(?:set-)?cookie\s{0,4}:\s{0,4})(?!\[removed)([^\r\n]{3,4000})")
_URL: Final = re.compile(
    r"(?i)\b([a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"]{0,200}:)([^\s/@'\"]{1,400})(?=@)"
)
_SECRET_KEY: Final = re.compile(rf"(?i)(?:.*[_.-])?(?:{_NAMES})\Z")


class SecretFilter:
    """Removes secrets and counts them; one for a whole bundle."""

    def __init__(self) -> None:
        self.removed = 0

    def text(self, text: str) -> str:
        """Return the text without what looks like a secret."""
        for kind, pattern in _PATTERNS:
            text = pattern.sub(lambda _, kind=kind: self._gone(kind), text)  # type: ignore[misc]
        text = _BEARER.sub(lambda found: found[1] + self._gone("credentials"), text)
        text = _COOKIE.sub(lambda found: found[1] + self._gone("cookie"), text)
        text = _URL.sub(lambda found: found[1] + self._gone("password"), text)
        text = _OPTION.sub(lambda found: found[1] + self._gone("password"), text)
        return _NAMED.sub(lambda found: found[1] + found[2] + self._gone("password"), text)

    def value(self, value: Any, key: str = "") -> Any:
        """Return a JSON value with every text in it filtered.

        Args:
            value: of JSON types.
            key: the name under which it stands; a text under a name that says `password` is one.
        """
        if isinstance(value, str):
            if value and _SECRET_KEY.match(key) and not value.startswith("["):
                return self._gone("password")
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one, key) for one in value]
        return value

    def _gone(self, kind: str) -> str:
        self.removed += 1
        return f"[removed: {kind}]"
