"""Section `software`: installed packages of dpkg, rpm, pacman, apk, flatpak and snap.

Every item has `source`, `name`, `version` and `arch`; the relay stores packages once for the
fleet by these.  `source_name` and `source_version` are what vulnerability data keys on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Malformed, Unsupported
from farhand_agent.inventory.dpkg_database import require_whole
from farhand_agent.inventory.package_databases import (
    parse_apk_installed,
    parse_extended_states,
    parse_flatpak,
    parse_pacman_desc,
    parse_snaps,
)
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.unix_http import get
from farhand_agent.platforms.commands import CommandMissing
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["collect", "parse_dpkg", "parse_rpm"]

_DPKG: Final = (
    "${Package}\t${Version}\t${Architecture}\t${db:Status-Want}\t${db:Status-Status}\t"
    "${Installed-Size}\t${source:Package}\t${source:Version}\n"
)
_RPM: Final = (
    "%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{INSTALLTIME}\\t%{SIZE}\\t"
    "%{VENDOR}\\t%{SOURCERPM}\\n"
)
_FLATPAK: Final = "application,version,branch,arch,origin,size"
_SNAPD: Final = "/run/snapd.socket"
_LATEST: Final = 253_402_300_799  # the last second that RFC 3339 can write


def parse_dpkg(text: str) -> list[dict[str, Any]]:
    """Return one item per installed package from dpkg-query's lines.

    Raises:
        Malformed: a line has another number of fields.
    """
    items = []
    for line in text.split("\n"):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != 8 or not fields[0]:
            raise Malformed("dpkg-query")
        name, version, arch, want, status, size, source_name, source_version = fields
        if status != "installed":
            continue
        items.append(
            {
                "source": "dpkg",
                "name": name,
                "version": version,
                "arch": arch,
                "size_bytes": (_number(size) or 0) * 1024 or None,
                "source_name": source_name,
                "source_version": source_version,
                "held": want == "hold",
                "automatic": None,
                "installed_at": None,
            }
        )
    return items


def parse_rpm(text: str) -> list[dict[str, Any]]:
    """Return one item per package from rpm's lines; imported signing keys are not packages.

    Raises:
        Malformed: a line has another number of fields.
    """
    items = []
    for line in text.split("\n"):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != 7 or not fields[0]:
            raise Malformed("rpm")
        name, version, arch, installed, size, vendor, source = fields
        if name == "gpg-pubkey":
            continue
        seconds = _number(installed)
        items.append(
            {
                "source": "rpm",
                "name": name,
                "version": version.removeprefix("0:"),
                "arch": arch,
                "size_bytes": _number(size),
                "source_name": None if source == "(none)" else source,
                "vendor": None if vendor == "(none)" else vendor,
                "installed_at": _instant(seconds),
            }
        )
    return items


@section("software", platform="linux", timeout_s=30.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per installed package.

    Raises:
        Unsupported: no package manager that is known answers here.
        CommandFailed, CutOff, Denied, Malformed: one that is here could not tell everything;
            without its packages they would look as if somebody had removed them.
    """
    items: list[dict[str, Any]] = []
    sources = 0
    readers: tuple[tuple[list[str], Callable[[str], list[dict[str, Any]]]], ...] = (
        (["dpkg-query", "-W", f"-f={_DPKG}"], parse_dpkg),
        (["rpm", "-qa", "--qf", _RPM], parse_rpm),
        (["flatpak", "list", "--system", f"--columns={_FLATPAK}"], parse_flatpak),
    )
    for argv, parse in readers:
        try:
            outcome = context.run(argv, timeout_s=25.0, ok=(0, 1))
        except CommandMissing:
            continue
        if outcome.exit_code != 0:
            if outcome.stdout or _has_packages(context, argv[0]):
                raise CommandFailed(argv[0], outcome.exit_code)
            # The tool without a database, as dpkg-query on a system of rpm's.
            context.note(f"{argv[0]} ended with {outcome.exit_code}")
            continue
        sources += 1
        items += parse(outcome.text)
        if argv[0] == "dpkg-query":
            listed = {line.partition("\t")[0] for line in outcome.text.split("\n")} - {""}
            require_whole(context.files, listed)
    for read in (_pacman, _apk, _snaps):
        found = read(context)
        if found is not None:
            sources += 1
            items += found
    if not sources:
        raise Unsupported("no package manager that is known answers here")
    chosen = parse_extended_states(context.files.text("/var/lib/apt/extended_states") or "")
    for item in items:
        if item["source"] == "dpkg":
            item["installed_at"] = _dpkg_installed_at(context, item["name"], item["arch"])
            item["automatic"] = _is_automatic(item, chosen)
    return items


def _is_automatic(item: dict[str, Any], chosen: set[tuple[str, str]]) -> bool:
    if item["arch"] != "all":
        return (item["name"], item["arch"]) in chosen
    # apt writes packages for all architectures down under the machine's own.
    return any(name == item["name"] for name, _ in chosen)


def _pacman(context: Context) -> list[dict[str, Any]] | None:
    folder = "/var/lib/pacman/local"
    names = [name for name in context.files.names(folder) if name != "ALPM_DB_VERSION"]
    if not names:
        return None
    return [parse_pacman_desc(context.files.text(f"{folder}/{name}/desc") or "") for name in names]


def _apk(context: Context) -> list[dict[str, Any]] | None:
    content = context.files.text("/lib/apk/db/installed")
    return parse_apk_installed(content) if content is not None else None


def _snaps(context: Context) -> list[dict[str, Any]] | None:
    """Ask snapd, only where it runs already: `snap` itself would start it.

    Raises:
        Denied, Malformed: it is here and does not answer.
    """
    path = context.files.path(_SNAPD)
    if not path.is_socket():
        return None
    return parse_snaps(get(path, "/v2/snaps", timeout_s=10.0))


def _has_packages(context: Context, program: str) -> bool:
    """Return whether a package manager has anything it should have told of."""
    files = context.files
    if program == "dpkg-query":
        lists = (name.endswith(".list") for name in files.names("/var/lib/dpkg/info"))
        return any(lists) or bool((files.text("/var/lib/dpkg/status") or "").strip())
    folders = {"rpm": ("/var/lib/rpm", "/usr/lib/sysimage/rpm"), "flatpak": ("/var/lib/flatpak",)}
    return any(files.names(folder) for folder in folders[program])


def _dpkg_installed_at(context: Context, name: str, arch: str) -> str | None:
    # dpkg keeps no date; it rewrites the file list whenever it unpacks the package.
    folder = "/var/lib/dpkg/info"
    for stem in (name, f"{name}:{arch}"):
        at = context.files.modified_at(f"{folder}/{stem}.list")
        if at is not None:
            return _instant(int(at))
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _instant(seconds: int | None) -> str | None:
    return format_instant(from_unix(seconds)) if seconds and seconds <= _LATEST else None
