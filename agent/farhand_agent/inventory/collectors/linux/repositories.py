"""Section `repositories`: where software comes from, and whether its signatures are checked."""

from __future__ import annotations

import re
from configparser import ConfigParser, Error
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_apk", "parse_deb822", "parse_flatpak", "parse_ini", "parse_one_line"]

_LINE: Final = re.compile(r"(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)\s*")
_NO: Final = ("no", "0", "false")
_MAX_ITEMS: Final = 2_000


def parse_one_line(text: str, file: str) -> list[dict[str, Any]]:
    """Return one item per line of a sources.list(5); lines that are none are skipped."""
    items = []
    for line in text.split("\n"):
        found = _LINE.fullmatch(line.partition("#")[0].strip())
        if found:
            options = (found[2] or "").lower().replace(" ", "")
            signed = "trusted=yes" not in options
            items.append(
                _item("apt", found[1], found[3], found[4], found[5].split(), True, signed, file)
            )
    return items


def parse_deb822(text: str, file: str) -> list[dict[str, Any]]:
    """Return one item per type, address and suite in a deb822 file of sources.

    Source: sources.list(5), "DEB822-STYLE FORMAT".
    """
    items = []
    lines = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.split("\n"):
            if line[:1] in (" ", "\t") and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in _NO
        signed = fields.get("trusted", "no").lower() in _NO
        parts = fields.get("components", "").split()
        items += [
            _item("apt", kind, url, suite, parts, enabled, signed, file)
            for kind in fields.get("types", "").split()
            for url in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return items


def parse_ini(text: str, file: str, manager: str) -> list[dict[str, Any]]:
    """Return one item per section of a .repo file of dnf, yum or zypper, or of pacman.conf."""
    parser = ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, comment_prefixes=("#", ";")
    )
    try:
        parser.read_string(text)
    except Error:
        return []
    items = []
    for name in parser.sections():
        values = parser[name]
        if manager == "pacman":
            if name == "options":
                continue
            url = values.get("server") or values.get("include") or ""
            signed = "never" not in (values.get("siglevel") or "").lower()
        else:
            url = values.get("baseurl") or values.get("mirrorlist") or values.get("metalink") or ""
            signed = (values.get("gpgcheck") or "1").lower() not in _NO
        enabled = (values.get("enabled") or "1").lower() not in _NO
        url = (url.split() or [""])[0]
        items.append(_item(manager, name, url, None, [], enabled, signed, file))
    return items


def parse_apk(text: str, file: str) -> list[dict[str, Any]]:
    """Return one item per line of /etc/apk/repositories."""
    items = []
    for line in text.split("\n"):
        words = line.partition("#")[0].split()
        if words:
            name = words[0] if words[0].startswith("@") else None
            items.append(_item("apk", name, words[-1], None, [], True, True, file))
    return items


def parse_flatpak(output: str) -> list[dict[str, Any]]:
    """Return one item per remote of `flatpak remotes --columns=name,url,options`."""
    items = []
    for line in output.split("\n"):
        fields = line.split("\t")
        if len(fields) < 3 or not fields[0] or fields[0] == "Name":
            continue
        options = fields[2].split(",")
        signed = "no-gpg-verify" not in options
        items.append(
            _item(
                "flatpak", fields[0], fields[1], None, [], "disabled" not in options, signed, None
            )
        )
    return items


def _item(
    manager: str, name: str | None, url: str, suite: str | None, components: list[str],
    enabled: bool, signed: bool, file: str | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "manager": manager, "name": name, "url": without_credentials(url), "suite": suite,
        "components": components[:64], "enabled": enabled, "signed": signed, "file": file,
    }  # fmt: skip


@section("repositories", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per repository.

    Raises:
        Unsupported: no package manager that is known has its files here.
    """
    items: list[dict[str, Any]] = []
    seen = 0
    for folder, ending, manager in (
        ("/etc/apt", ".list", "apt"), ("/etc/apt/sources.list.d", "", "apt"),
        ("/etc/yum.repos.d", ".repo", "dnf"), ("/etc/zypp/repos.d", ".repo", "zypper"),
    ):  # fmt: skip
        names = context.files.names(folder)
        seen += bool(names)
        for name in names:
            path = f"{folder}/{name}"
            text = _text(context, path) if name.endswith(ending) else ""
            if manager != "apt":
                items += parse_ini(text, path, manager)
            elif name.endswith(".sources"):
                items += parse_deb822(text, path)
            elif name.endswith(".list"):
                items += parse_one_line(text, path)
    for path, manager in (("/etc/pacman.conf", "pacman"), ("/etc/apk/repositories", "apk")):
        text = _text(context, path)
        seen += bool(text)
        items += parse_ini(text, path, manager) if manager == "pacman" else parse_apk(text, path)
    try:
        argv = ["flatpak", "remotes", "--system", "--columns=name,url,options"]
        items += parse_flatpak(context.run(argv).text)
        seen += 1
    except CommandMissing:
        pass  # no flatpak: no remotes of its
    if not seen:
        raise Unsupported("no package manager that is known keeps files here")
    return items[:_MAX_ITEMS]


def _text(context: Context, path: str) -> str:
    try:
        return context.files.text(path) or ""
    except PermissionError:
        # Such a file is kept to root when it holds a password.
        context.note(f"{path} needs root")
        return ""
