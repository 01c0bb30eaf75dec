"""The softwareupdate provider, on lists as macOS 14 and 10.14 print them."""

from __future__ import annotations

import plistlib
from datetime import datetime
from pathlib import Path

import pytest

from farhand_agent.patches.provider import Plan, ProviderError
from farhand_agent.patches.softwareupdate_output import (
    classify,
    parse_listing,
    parse_preferences,
)
from farhand_agent.patches.softwareupdate_provider import SoftwareupdateProvider
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay, printed

LISTING = """Software Update Tool

Finding available software
Software Update found the following new or updated software:
* Label: macOS Sonoma 14.6.1-23G93
\tTitle: macOS Sonoma 14.6.1, Version: 14.6.1, Size: 2936281KiB, Recommended: YES, Action: restart, 
* Label: Safari17.6SonomaAuto-17.6
\tTitle: Safari, Version: 17.6, Size: 167413KiB, Recommended: YES, 
* Label: Printer Drivers-1.0
\tTitle: Printer Drivers, Version: 1.0, Size: 10MiB, Recommended: NO, 
"""  # noqa: W291 - as it is printed
OLD = """   * Security Update 2019-001-10.14.6
\tSecurity Update 2019-001 (10.14.6), 1625036K [recommended] [restart]
"""
PREFERENCES = {
    "LastSuccessfulDate": datetime(2026, 11, 20, 3, 4, 5),
    "RecommendedUpdates": [
        {
            "Display Name": "macOS Sonoma 14.6.1",
            "Display Version": "14.6.1",
            "Identifier": "MSU_UPDATE_23G93_patch_14.6.1_minor",
            "Product Key": "MSU_UPDATE_23G93_patch_14.6.1_minor",
        }
    ],
}


@pytest.fixture
def files(tmp_path: Path) -> SystemFiles:
    path = tmp_path / "Library/Preferences/com.apple.SoftwareUpdate.plist"
    path.parent.mkdir(parents=True)
    path.write_bytes(plistlib.dumps(PREFERENCES, fmt=plistlib.FMT_BINARY))
    return SystemFiles(tmp_path)


def test_listing_reads_what_macos_found_itself(files: SystemFiles) -> None:
    found = SoftwareupdateProvider(Replay({}), files).list()
    (update,) = found.updates
    assert (update.name, update.available, update.kind) == (
        "macOS Sonoma 14.6.1", "14.6.1", "security",
    )  # fmt: skip
    assert found.refreshed_at == "2026-11-20T03:04:05Z"
    assert found.reboot.required is None


def test_a_refresh_asks_apple_and_brings_labels(files: SystemFiles) -> None:
    one = SoftwareupdateProvider(Replay({"--list": printed(LISTING)}), files)
    one.refresh()
    system, safari, drivers = one.list().updates
    assert system.id == "macOS Sonoma 14.6.1-23G93"
    assert system.requires_reboot
    assert system.size_bytes == 2936281 * 1024
    assert (safari.kind, drivers.kind) == ("security", "unknown")
    assert drivers.kept_back


def test_nothing_new_comes_on_standard_error(files: SystemFiles) -> None:
    answer = printed("Finding available software\n", "No new software available.\n")
    one = SoftwareupdateProvider(Replay({"--list": answer}), files)
    one.refresh()
    assert one.list().updates == ()


def test_it_reports_only(files: SystemFiles) -> None:
    one = SoftwareupdateProvider(Replay({}), files)
    with pytest.raises(ProviderError) as caught:
        one.apply(one.plan(None))
    assert caught.value.code == "patch-report-only"
    with pytest.raises(ProviderError):
        one.rollback([])


def test_a_mac_that_never_looked_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        SoftwareupdateProvider(Replay({}), SystemFiles(tmp_path)).list()
    assert caught.value.code == "patch-not-refreshed"


def test_a_list_in_the_form_before_labels_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(ProviderError) as caught:
        parse_listing(OLD)
    assert caught.value.code == "patch-unreadable"


@pytest.mark.parametrize("data", [b"", b"bplist00", b"<plist/>", b"<plist><array/></plist>"])
def test_what_is_no_plist_is_unreadable(data: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        parse_preferences(data)
    assert caught.value.code == "patch-unreadable"


def test_words_tell_the_class() -> None:
    assert classify(1, "softwareupdate: must be run as root").code == "patch-denied"
    assert classify(1, "x: No such update").code == "patch-unknown-update"
    assert classify(2, "?").code == "patch-failed"


def test_a_plan_of_nothing_is_refused_as_well(files: SystemFiles) -> None:
    with pytest.raises(ProviderError):
        SoftwareupdateProvider(Replay({}), files).apply(Plan(provider="softwareupdate", updates=()))
