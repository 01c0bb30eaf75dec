"""The dnf and zypper providers against the real programs in scratch roots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farhand_agent.patches.provider import ApplyResult, Change, ProviderError
from tests.agent.patches.scratch_rpm import RpmRepository, ScratchDnf, ScratchZypper

pytestmark = [
    pytest.mark.needs("rpmbuild", "createrepo_c", "rpm", "dnf", "zypper"),
    pytest.mark.skipif(os.geteuid() != 0, reason="rpm changes its root, which only root may"),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> RpmRepository:
    return RpmRepository(tmp_path_factory.mktemp("rpm"))


@pytest.fixture
def dnf(repository: RpmRepository, tmp_path: Path) -> ScratchDnf:
    system = ScratchDnf(repository, tmp_path / "root")
    system.provider().refresh()
    return system


@pytest.fixture
def zypper(repository: RpmRepository, tmp_path: Path) -> ScratchZypper:
    system = ScratchZypper(repository, tmp_path / "root")
    system.provider().refresh()
    return system


def versions(result: ApplyResult) -> dict[str, tuple[str, str]]:
    return {change.name: (change.before, change.after) for change in result.changes}


def test_dnf_lists_plans_applies_and_goes_back(dnf: ScratchDnf) -> None:
    one = dnf.provider()
    found = one.list()
    by_name = {update.name: update for update in found.updates}
    assert set(by_name) == {"fhlib", "fhtool", "fhheld", "fhcore"}
    assert found.security_labelled
    assert found.refreshed_at is not None
    assert (by_name["fhlib"].kind, by_name["fhlib"].severity) == ("security", "important")
    assert by_name["fhtool"].kind == "bugfix"
    assert by_name["fhheld"].kind == "unknown"
    # check-update leaves out what the configuration excludes; it is held, not up to date.
    assert by_name["fhheld"].held
    assert (by_name["fhheld"].installed, by_name["fhheld"].available) == ("3:1.0-1", "3:1.1-1")

    plan = one.plan(None, security_only=True)
    assert {update.name for update in plan.updates} == {"fhlib", "fhcore"}
    result = one.apply(plan)
    assert (result.exit_code, result.outcome) == (0, "done")
    assert versions(result) == {"fhlib": ("1.0-1", "1.1-1"), "fhcore": ("5.0-1", "5.1-1")}
    assert {update.name for update in one.list().updates} == {"fhtool", "fhheld"}

    back = one.rollback([change for change in result.changes if change.name == "fhlib"])
    assert versions(back) == {"fhlib": ("1.1-1", "1.0-1")}
    with pytest.raises(ProviderError) as caught:
        one.rollback([Change(id="fhlib.noarch", name="fhlib", before="0.9-1", after="1.0-1")])
    assert caught.value.code == "patch-no-rollback"


def test_dnf_does_not_wait_for_a_lock_without_end(dnf: ScratchDnf) -> None:
    one = dnf.provider()
    plan = one.plan(["fhlib.noarch"])
    # dnf's lock is a file with the number of a living process: ours.
    (dnf.root / "var/lib/dnf/rpmdb_lock.pid").write_text(str(os.getpid()))
    with pytest.raises(ProviderError) as caught:
        one.apply(plan)
    assert caught.value.code == "patch-locked"
    assert caught.value.tool_exit_code == 200
    assert caught.value.retryable


def test_dnf_says_when_a_repository_is_gone(dnf: ScratchDnf) -> None:
    source = dnf.root / "etc/yum.repos.d/fh.repo"
    source.write_text(source.read_text().replace("file://", "file:///nowhere"))
    with pytest.raises(ProviderError) as caught:
        dnf.provider().refresh()
    assert caught.value.code == "patch-network"


def test_zypper_labels_packages_by_their_patches(zypper: ScratchZypper) -> None:
    found = zypper.provider().list()
    by_name = {update.name: update for update in found.updates}
    assert set(by_name) == {"fhlib", "fhtool", "fhheld", "fhcore"}
    assert (by_name["fhlib"].kind, by_name["fhlib"].severity) == ("security", "important")
    assert by_name["fhlib"].advisories == ("FHSA-1",)
    assert by_name["fhlib"].cves == ("CVE-2026-0001",)
    assert by_name["fhtool"].kind == "bugfix"
    assert by_name["fhcore"].requires_reboot
    assert not by_name["fhlib"].requires_reboot
    assert by_name["fhheld"].held
    assert not any(update.kept_back for update in found.updates)
    assert found.security_labelled
    assert found.refreshed_at is not None


def test_zypper_installs_the_patch_that_zypper_itself_skips(zypper: ScratchZypper) -> None:
    one = zypper.provider()
    said = zypper.zypper("--no-refresh", "patch", "--category", "security")
    assert "is interactive, skipping" in said  # and it ended with 0
    plan = one.plan(None, security_only=True)
    assert [update.name for update in plan.updates] == ["fhcore"]
    result = one.apply(plan)
    assert versions(result) == {"fhcore": ("5.0-1", "5.1-1")}
    assert result.reboot.required is True
    assert result.reboot.reasons == ("fhcore (FHSA-3)",)
    # zypper calls it not necessary afterwards: the ledger has to remember it.
    assert one.reboot_state().required is not True
    assert {update.name for update in one.list().updates} == {"fhtool", "fhheld"}

    assert versions(one.rollback(result.changes)) == {"fhcore": ("5.1-1", "5.0-1")}
    with pytest.raises(ProviderError) as caught:
        one.rollback([Change(id="fhcore.noarch", name="fhcore", before="4.0-1", after="5.0-1")])
    assert caught.value.code == "patch-no-rollback"


def test_zypper_names_who_holds_the_lock(zypper: ScratchZypper) -> None:
    one = zypper.provider()
    plan = one.plan(["fhlib.noarch"])
    (zypper.root / "run/zypp.pid").write_text(str(os.getpid()))
    with pytest.raises(ProviderError) as caught:
        one.apply(plan)
    assert caught.value.code == "patch-locked"
    assert caught.value.tool_exit_code == 7
