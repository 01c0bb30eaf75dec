"""Every parser of package managers' output, on broken and hostile output.

A parser returns or raises what it documents (ProviderError, only where it says so); no name that
it lets through begins like an option, or is longer than an argument should be.
"""

from __future__ import annotations

import itertools
import json
import plistlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from farhand_agent.patches import (
    apk_output,
    apt_output,
    brew_output,
    dnf_output,
    flatpak_output,
    npm_output,
    pacman_output,
    pip_output,
    reboot,
    snap_output,
    softwareupdate_output,
    windows_update_output,
    winget_output,
    zypper_output,
)
from farhand_agent.patches.provider import ProviderError
from tests.agent.patches import (
    test_apk,
    test_brew,
    test_flatpak,
    test_snap,
    test_softwareupdate,
    test_windows_update,
    test_winget,
)
from tests.agent.patches.replay import recorded
from tests.fuzz.mutation import cases

_CASES = 250
_PATCHES = """<?xml version='1.0'?><stream><message type="info">x</message>
<update-list><update kind="patch" name="FHSA-1" edition="1" arch="noarch" status="needed"
 category="security" severity="critical" restart="true" interactive="true"><issue-list>
<issue type="cve" id="CVE-2026-1"/></issue-list></update></update-list></stream>"""
_UPDATES = """<stream><update kind="package" name="fhlib" edition="1.1-1" arch="noarch"
 edition-old="1.0-1"><source url="dir:/x" alias="fh"/></update></stream>"""
_PLAN = """<stream><install-summary><to-install><solvable type="package" name="a"/></to-install>
<to-remove><solvable type="package" name="b"/></to-remove></install-summary></stream>"""
_INFO = """Information for patch FHSA-1:
Name        : FHSA-1
Conflicts   : [2]
    fhlib.x86_64 < 1.1-1
    python3.11 < 3.11.2-1
"""


@dataclass(frozen=True)
class Parser:
    """A parser, outputs that it reads, and whether it says that it raises ProviderError."""

    read: Callable[[str], Any]
    seeds: tuple[str | bytes, ...]
    raises: bool = False


def _text(parse: Callable[[bytes], Any]) -> Callable[[str], Any]:
    return lambda text: parse(text.encode("utf-8", "surrogatepass"))


_INST = "Inst a [1] (2 Debian:12/stable, Debian-Security:12/x [all]) []\nRemv b [1]\n"
_POLICY = (
    "a:\n  Installed: 1\n  Candidate: 2\n  Version table:\n     2 500\n        500 u s P Packages\n"
)
PARSERS = {
    "apk versions": Parser(apk_output.parse_versions, (test_apk.VERSIONS,)),
    "apk upgrades": Parser(apk_output.parse_upgrades, (test_apk.UPGRADE,)),
    "apk installed": Parser(apk_output.parse_installed, (test_apk.DATABASE,)),
    "apk pins": Parser(apk_output.parse_pins, ("a b=1 c>2",)),
    "apt simulation": Parser(apt_output.parse_simulation, (_INST,)),
    "apt policy": Parser(apt_output.parse_policy, (_POLICY,)),
    "apt labels": Parser(apt_output.parse_release_labels, (_POLICY,)),
    "brew outdated": Parser(
        brew_output.parse_outdated, (json.dumps(test_brew.OUTDATED),), raises=True
    ),
    "brew installed": Parser(
        brew_output.parse_installed, (json.dumps(test_brew.INFO),), raises=True
    ),
    "dnf repoquery": Parser(dnf_output.parse_repoquery, (recorded("dnf-4.14-rq.txt"),)),
    "dnf check-update": Parser(dnf_output.parse_check_update, (recorded("dnf-4.14-check.txt"),)),
    "dnf advisories": Parser(dnf_output.parse_advisories, (recorded("dnf-4.14-ui.txt"),)),
    "dnf versionlock": Parser(dnf_output.parse_versionlock, (recorded("dnf-4.14-vl.txt"),)),
    "dnf removals": Parser(dnf_output.parse_removals, (recorded("dnf-4.14-assumeno.txt"),)),
    "flatpak applications": Parser(flatpak_output.parse_applications, (test_flatpak.OFFERED,)),
    "flatpak masks": Parser(flatpak_output.parse_masks, ("Masked:\n  a*\n",)),
    "needrestart": Parser(reboot.parse_needrestart, ("NEEDRESTART-KSTA: 3\n",)),
    "npm outdated": Parser(
        npm_output.parse_outdated,
        ('{"a": {"current": "1", "wanted": "1", "latest": "2"}}', '{"message": "405 x"}'),
        raises=True,
    ),
    "npm audit": Parser(
        npm_output.parse_audit,
        ('{"vulnerabilities": {"a": {"severity": "high", "via": [{"url": "u"}, "b"]}}}',),
        raises=True,
    ),
    "pacman updates": Parser(pacman_output.parse_updates, ("a 1 -> 2 [ignored]\nb 1 -> 3\n",)),
    "pacman plan": Parser(pacman_output.parse_plan, ("a 1 core\n",)),
    "pacman versions": Parser(pacman_output.parse_versions, ("a 1\n",)),
    "pip outdated": Parser(
        pip_output.parse_outdated,
        ('[{"name": "a", "version": "1", "latest_version": "2", "latest_filetype": "wheel"}]',),
        raises=True,
    ),
    "pip audit": Parser(
        pip_output.parse_audit,
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "P"}]}]}',),
        raises=True,
    ),
    "snap": Parser(snap_output.parse_snaps, (test_snap.OFFERED, test_snap.INSTALLED)),
    "softwareupdate list": Parser(
        softwareupdate_output.parse_listing, (test_softwareupdate.LISTING,), raises=True
    ),
    "softwareupdate plist": Parser(
        _text(softwareupdate_output.parse_preferences),
        (
            plistlib.dumps(test_softwareupdate.PREFERENCES),
            plistlib.dumps({"LastSuccessfulDate": datetime(2026, 1, 1)}),
        ),
        raises=True,
    ),
    "windows update search": Parser(
        windows_update_output.parse_search, (test_windows_update.search(),), raises=True
    ),
    "windows update installation": Parser(
        windows_update_output.parse_installation,
        (test_windows_update.installation(2, (test_windows_update.DEFINITION, 1, 2, 0)),),
        raises=True,
    ),
    "winget packages": Parser(
        winget_output.parse_packages,
        (json.dumps({"packages": test_winget.PACKAGES}),),
        raises=True,
    ),
    "winget upgrades": Parser(
        winget_output.parse_upgrades, (test_winget.upgraded(0, -1978335128),), raises=True
    ),
    "zypper updates": Parser(zypper_output.parse_updates, (_UPDATES,), raises=True),
    "zypper patches": Parser(zypper_output.parse_patches, (_PATCHES,), raises=True),
    "zypper packages": Parser(zypper_output.parse_patch_packages, (_INFO,)),
    "zypper locks": Parser(zypper_output.parse_locks, ("type: package\nsolvable_name: a\n\n",)),
    "zypper plan": Parser(zypper_output.parse_plan, (_PLAN,), raises=True),
}
HOSTILE = [
    "",
    "\x00",
    "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202e",
    "[" * 100_000,
    "{" * 100_000,
    '{"a":' * 5_000,
    "null",
    "1e999",
    "9" * 50_000,
    "<stream>" * 20_000,
    '<!DOCTYPE x [<!ENTITY a "b">]><stream>&a;</stream>',
    "A" * (10 * 1024 * 1024),
    "Inst " + "a" * 1_000_000 + " [1] (2 x)",
    " ".join(["--option"] * 1000),
]


def _as_bytes(seed: str | bytes) -> bytes:
    return seed.encode() if isinstance(seed, str) else seed


def _held_to(parser: Parser, text: str) -> None:
    """Read it; what is raised must be documented, what is read must be bounded."""
    try:
        found = parser.read(text)
    except ProviderError as error:
        if not parser.raises:
            raise
        _is_bounded(error)
        return
    listed = found if isinstance(found, list | tuple | set) else ()
    names = [getattr(one, "name", None) for one in listed if hasattr(one, "available")]
    assert all(name is None or (len(name) <= 300 and name[:1] != "-") for name in names)


def _is_bounded(error: ProviderError) -> None:
    assert error.code.startswith("patch-")
    assert len(error.message) + len(error.detail or "") < 2000


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_holds_to_its_errors(name: str) -> None:
    parser = PARSERS[name]
    seeds = [_as_bytes(seed) for seed in parser.seeds]
    for seed in seeds:
        # What raises is written for errors; a seed of that kind is one.
        _held_to(parser, seed.decode())
    for case in itertools.islice(cases(seeds, name), _CASES):
        _held_to(parser, case.decode("utf-8", "replace"))


@pytest.mark.parametrize("name", PARSERS)
def test_hostile_output_is_bounded(name: str) -> None:
    for text in HOSTILE:
        _held_to(PARSERS[name], text)


def test_every_parser_is_here() -> None:
    modules = [
        apk_output, apt_output, brew_output, dnf_output, flatpak_output, npm_output,
        pacman_output, pip_output, snap_output, softwareupdate_output, windows_update_output,
        winget_output, zypper_output,
    ]  # fmt: skip
    every = {
        f"{module.__name__}.{name}"
        for module in modules
        for name in module.__all__
        if name.startswith("parse_")
    }
    named = {
        f"{p.read.__module__}.{p.read.__name__}"
        for p in PARSERS.values()
        if p.read.__name__ != "<lambda>"
    }
    assert every - named == {"farhand_agent.patches.softwareupdate_output.parse_preferences"}
