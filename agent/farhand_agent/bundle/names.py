"""Replaces what names this device and its people by stable tokens: `host-4kq2xw`, `user-7h3m5a`.

    hostname   the host's name, short and whole
    domain     the domains that its name, its resolver and its hosts file name, and all below them
    address    IPv4 and IPv6 addresses, but for loopback and "any"
    mac        hardware addresses
    user       names of people's accounts here, and of the folders below /home and /Users

A token is a keyed hash of the value: the same value has the same token in every bundle of this
device, so two bundles can be compared, and nobody without the device's key can try values out.
Names are found by what this device knows of itself, addresses by their form.  In fields that hold
versions nothing is taken for an address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["KINDS", "KnownNames", "NameCleaner", "known_names"]

KINDS: Final = ("hostname", "domain", "address", "mac", "user")
_FIRST_PERSON_ID: Final = 1000
_LAST_PERSON_ID: Final = 60_000
_SHORTEST_NAME: Final = 3
_MAX_NAMES: Final = 500
_MAX_FILE_BYTES: Final = 1024 * 1024

_IPV4: Final = re.compile(r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-]|\.[0-9])")
_IPV6: Final = re.compile(
    r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,44}:|::)[0-9A-Fa-f:]{2,39}"
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![\w:])"
)
_MAC: Final = re.compile(
    r"(?i)(?<![\w:-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![\w:-])"
)
_HOME: Final = re.compile(r"((?:/home/|/Users/|\\Users\\))([^/\\\s:\"'<>|]{1,64})")
_NOBODY: Final = frozenset({"shared", "public", "default", "all users", "lost+found"})
_COMMON: Final = frozenset(
    {"local", "localdomain", "lan", "home", "internal", "localhost", "arpa", "com", "org", "net"}
)
_VERSION_KEY: Final = re.compile(r"(?i).*version.*|.*release.*|installed|available|oid")


@dataclass(frozen=True, slots=True)
class KnownNames:
    """What this device knows of itself; the texts that are looked for."""

    hosts: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


def known_names() -> KnownNames:
    """Return the names of this device, its domains and its people."""
    whole = socket.getfqdn() or ""
    hosts = [socket.gethostname(), whole]
    hosts += [one.partition(".")[0] for one in hosts]
    domains = [name.partition(".")[2] for name in hosts] + list(_search_domains())
    return KnownNames(
        hosts=_worth(hosts, _COMMON),
        domains=_worth((one for one in domains if "." in one), _COMMON),
        users=_worth(_people(), frozenset()),
    )


def _worth(names: Iterable[str], common: frozenset[str]) -> tuple[str, ...]:
    """Return each name once, longest first, so that a part never hides the whole."""
    kept = {
        name.strip(".").lower()
        for name in names
        if len(name.strip(".")) >= _SHORTEST_NAME and name.strip(".").lower() not in common
    }
    return tuple(sorted(kept, key=lambda name: (-len(name), name)))[:_MAX_NAMES]


def _search_domains() -> Iterable[str]:
    for line in _lines("/etc/resolv.conf"):
        words = line.split()
        if words and words[0] in ("search", "domain"):
            yield from words[1:]
    for line in _lines("/etc/hosts"):
        for name in line.partition("#")[0].split()[1:]:
            if name.count(".") >= 1:
                yield name.partition(".")[2]


def _lines(path: str) -> list[str]:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []  # this system has no such file, or keeps it to itself: nothing to learn


def _people() -> Iterable[str]:
    for variable in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        if name := os.environ.get(variable, ""):
            yield "" if name == "root" else name
    if sys.platform == "win32":
        return
    import pwd  # there is none on Windows

    for entry in pwd.getpwall():
        if _FIRST_PERSON_ID <= entry.pw_uid < _LAST_PERSON_ID:
            yield entry.pw_name
            yield from (part for part in (entry.pw_gecos.split(",")[0],) if " " in part)


@dataclass
class NameCleaner:
    """Replaces names in texts and JSON values; one for a whole bundle.

    Attributes:
        kinds: of `KINDS`; others are left as they are.
        known: what to look for.
        key: for the tokens, at least 16 bytes.
    """

    kinds: frozenset[str]
    known: KnownNames
    key: bytes
    _rules: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = field(
        default_factory=list, init=False
    )

    def __post_init__(self) -> None:
        # Whole host names before domains, or a domain's token would stand inside a host's name.
        if "hostname" in self.kinds:
            self._names("host", self.known.hosts)
        if "domain" in self.kinds:
            self._names("domain", self.known.domains)
        if "user" in self.kinds:
            self._rules.append((_HOME, self._home))
            self._names("user", self.known.users)

    def _names(self, kind: str, names: tuple[str, ...]) -> None:
        if names:
            any_of = "|".join(re.escape(name) for name in names)
            pattern = re.compile(rf"(?i)(?<![a-z0-9-])(?:{any_of})(?![a-z0-9-])")
            self._rules.append((pattern, lambda found: self.token(kind, found[0].lower())))

    def token(self, kind: str, value: str) -> str:
        """Return the token of a value."""
        digest = hmac.new(self.key, f"{kind}\0{value}".encode("utf-8", "replace"), hashlib.sha256)
        return f"{kind}-{base64.b32encode(digest.digest())[:8].decode().lower()}"

    def text(self, text: str, *, addresses: bool = True) -> str:
        """Return the text with names replaced."""
        for pattern, replace in self._rules:
            text = pattern.sub(replace, text)
        if "mac" in self.kinds:
            text = _MAC.sub(
                lambda found: self.token("mac", found[0].lower().replace("-", ":")), text
            )
        if "address" in self.kinds and addresses:
            text = _IPV6.sub(self._address, text)
            text = _IPV4.sub(self._address, text)
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """Return a JSON value with every text in it cleaned."""
        if isinstance(value, str):
            return self.text(value, addresses=not _VERSION_KEY.fullmatch(key))
        if isinstance(value, dict):
            return {self.text(name): self.value(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one, key) for one in value]
        return value

    def _home(self, found: re.Match[str]) -> str:
        name = found[2].lower()
        if name in _NOBODY or re.fullmatch(r"user-[a-z2-7]{8}", name):
            return found[0]
        return found[1] + self.token("user", name)

    def _address(self, found: re.Match[str]) -> str:
        try:
            address = ipaddress.ip_address(found[0])
        except ValueError:
            return found[0]  # digits and colons that are no address, such as a time
        if address.is_loopback or address.is_unspecified:
            return found[0]
        return self.token("address", str(address))
