"""The apt provider against real apt and dpkg in a scratch root; its parsers against anything."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_agent.patches.apt_output import (
    classify,
    is_security_origin,
    parse_policy,
    parse_release_labels,
    parse_simulation,
)
from farhand_agent.patches.provider import ProviderError, Update
from tests.agent.patches.scratch_apt import ScratchApt

pytestmark = pytest.mark.needs("apt-get", "dpkg-deb")


@pytest.fixture
def scratch(tmp_path: Path) -> ScratchApt:
    """Installed: app 1.0 (automatic), lib 1.0, held 1.0, plain 1.0, late 1.0, all upgradable."""
    system = ScratchApt(tmp_path)
    for name in ("lib", "app", "held", "plain", "late"):
        system.install(name, "1.0")
    system.offer("security", "lib", "1.1")
    # The candidate comes from main, with the older fix from security below it.
    system.offer("security", "app", "1.1")
    system.offer("main", "app", "1.2")
    system.offer("security", "held", "1.1")
    system.offer("main", "plain", "2.0", Depends="fresh")
    system.offer("main", "fresh", "1.0")
    system.offer("main", "late", "1.1", phased=10)
    system.publish()
    system.apt("apt-mark", "hold", "held")
    system.apt("apt-mark", "auto", "app")
    system.provider().refresh()
    return system


def by_id(scratch: ScratchApt) -> dict[str, Update]:
    return {update.id: update for update in scratch.provider().list().updates}


def test_the_list_tells_security_by_origin_label_and_not_by_suite(scratch: ScratchApt) -> None:
    found = scratch.provider().list()
    assert found.status == "ok"
    assert found.security_labelled
    assert found.refreshed_at is not None
    updates = by_id(scratch)
    assert updates["lib"].kind == "security"
    assert (updates["lib"].installed, updates["lib"].available) == ("1.0", "1.1")
    assert updates["plain"].kind == "bugfix"


def test_a_candidate_from_main_above_an_older_security_fix_is_security(scratch: ScratchApt) -> None:
    app = by_id(scratch)["app"]
    assert app.available == "1.2"
    assert app.origin.startswith("Debian:")
    assert app.kind == "security"


def test_held_and_phased_packages_are_listed_as_such(scratch: ScratchApt) -> None:
    updates = by_id(scratch)
    assert updates["held"].held
    assert updates["held"].available == "1.1"
    assert updates["held"].kind == "security"
    assert updates["late"].phased
    assert not updates["lib"].held


def test_what_dependencies_keep_back_is_listed_and_not_planned(tmp_path: Path) -> None:
    system = ScratchApt(tmp_path)
    system.install("lib", "1.0")
    system.offer("main", "lib", "1.1", Depends="nowhere")
    system.publish()
    provider = system.provider()
    provider.refresh()
    (found,) = provider.list().updates
    assert found.kept_back
    assert not found.phased
    assert provider.plan(None).updates == ()


def test_without_a_security_archive_nothing_is_called_free_of_security(tmp_path: Path) -> None:
    system = ScratchApt(tmp_path, security=False)
    system.install("lib", "1.0")
    system.offer("main", "lib", "1.1")
    system.publish()
    system.provider().refresh()
    found = system.provider().list()
    assert not found.security_labelled
    assert found.reason
    assert [update.kind for update in found.updates] == ["unknown"]


def test_a_plan_names_dependencies_and_leaves_held_and_phased_alone(scratch: ScratchApt) -> None:
    plan = scratch.provider().plan(None)
    assert {update.id for update in plan.updates} == {"lib", "app", "plain", "fresh"}
    assert plan.removals == ()
    only = scratch.provider().plan(None, security_only=True)
    assert {update.id for update in only.updates} == {"lib", "app"}


def test_a_plan_for_what_nobody_offers_is_refused(scratch: ScratchApt) -> None:
    with pytest.raises(ProviderError) as caught:
        scratch.provider().plan(["--root=/"])
    assert caught.value.code == "patch-unknown-update"


def test_apply_installs_exactly_the_plan_and_keeps_automatic_marks(scratch: ScratchApt) -> None:
    provider = scratch.provider()
    plan = provider.plan(None)
    result = provider.apply(plan)
    assert result.exit_code == 0, result.log_tail
    assert set(result.done) == {"lib", "app", "plain", "fresh"}
    assert result.failed == ()
    assert set(scratch.apt("apt-mark", "showauto").split()) == {"app", "fresh"}
    assert provider.verify(plan) == (result.done, ())
    assert {u.id for u in provider.list().updates} == {"held", "late"}


def test_a_plan_that_removes_is_refused(tmp_path: Path) -> None:
    system = ScratchApt(tmp_path)
    system.install("old", "1.0")
    system.install("lib", "1.0")
    system.offer("main", "lib", "1.1", Conflicts="old")
    system.publish()
    provider = system.provider()
    provider.refresh()
    plan = provider.plan(["lib"])
    assert plan.removals == ("old",)
    with pytest.raises(ProviderError) as caught:
        provider.apply(plan)
    assert caught.value.code == "patch-would-remove"


def test_listing_needs_no_lock_and_applying_says_who_waits(scratch: ScratchApt) -> None:
    provider = scratch.provider(lock_wait_s=0)
    plan = provider.plan(["lib"])
    lock = scratch.root / "var/lib/dpkg/lock-frontend"
    with lock.open("w") as held:
        # apt's locks are POSIX record locks; they belong to this process, apt is another one.
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert provider.list().status == "ok"
        with pytest.raises(ProviderError) as caught:
            provider.apply(plan)
    assert caught.value.code == "patch-locked"
    assert caught.value.retryable
    assert caught.value.state == "locked"


def test_a_repository_that_is_gone_fails_the_refresh(scratch: ScratchApt) -> None:
    for file in (scratch.repositories / "security").iterdir():
        file.unlink()
    with pytest.raises(ProviderError) as caught:
        scratch.provider().refresh()
    assert caught.value.code in ("patch-network", "patch-untrusted", "patch-failed")


def test_over_http_a_server_that_is_gone_is_the_network(tmp_path: Path) -> None:
    system = ScratchApt(tmp_path, security=False)
    system.install("lib", "1.0")
    system.offer("main", "lib", "1.1")
    system.publish()
    provider = system.provider()
    with system.served():
        provider.refresh()
        plan = provider.plan(["lib"])
    with pytest.raises(ProviderError) as caught:
        provider.refresh()
    assert caught.value.code == "patch-network"
    assert caught.value.retryable
    # The package cannot be fetched either; nothing was installed, and that is told.
    with pytest.raises(ProviderError) as caught:
        provider.apply(plan)
    assert caught.value.code == "patch-network"
    assert caught.value.tool_exit_code == 100
    assert "lib" in caught.value.log_tail
    with system.served(system.port):
        assert provider.apply(plan).done == ("lib",)


def test_an_interrupted_dpkg_is_told_apart(scratch: ScratchApt) -> None:
    provider = scratch.provider()
    plan = provider.plan(["lib"])
    (scratch.root / "var/lib/dpkg/updates/0001").write_text("Package: lib\n")
    with pytest.raises(ProviderError) as caught:
        provider.apply(plan)
    assert caught.value.code == "patch-interrupted"
    assert caught.value.hint


def test_an_interrupted_dpkg_is_repaired_and_the_plan_goes_on(scratch: ScratchApt) -> None:
    provider = scratch.provider(lock_wait_s=0)
    plan = provider.plan(["lib"])
    # What a cut in the middle leaves: the new files are there, nothing is configured yet, and
    # dpkg's own journal is not merged.
    scratch.dpkg("--unpack", str(scratch.build("plain", "1.5")))
    (scratch.root / "var/lib/dpkg/updates/0001").write_text(
        "Package: plain\nStatus: install ok unpacked\nVersion: 1.5\nArchitecture: all\n"
        "Maintainer: Tests <tests@example.org>\nDescription: test package plain\n"
    )
    with pytest.raises(ProviderError) as caught:
        provider.apply(plan)
    assert caught.value.code == "patch-interrupted"
    provider.repair()
    assert scratch.apt("dpkg-query", "-W", "-f=${db:Status-Status}", "plain") == "installed"
    assert provider.apply(plan).done == ("lib",)


def test_the_way_back_is_the_version_from_before(scratch: ScratchApt) -> None:
    provider = scratch.provider()
    scratch.offer("main", "lib", "1.0")
    scratch.publish()
    provider.refresh()
    result = provider.apply(provider.plan(["lib", "app"]))
    changes = {change.id: change for change in result.changes}
    assert (changes["lib"].before, changes["lib"].after) == ("1.0", "1.1")
    # lib's old version is in the archive; app's is in apt's cache only.
    with pytest.raises(ProviderError) as caught:
        provider.rollback([changes["app"]])
    assert caught.value.code == "patch-no-rollback"
    file = scratch.build("app", "1.0")
    cache = scratch.root / "var/cache/apt/archives"
    (cache / "app_1.0_all.deb").write_bytes(file.read_bytes())
    back = provider.rollback(result.changes)
    assert set(back.done) == {"lib", "app"}
    assert scratch.apt("apt-mark", "showauto").split() == ["app"]


def test_what_came_in_new_stays_on_the_way_back(scratch: ScratchApt) -> None:
    provider = scratch.provider()
    scratch.offer("main", "plain", "1.0")
    scratch.publish()
    provider.refresh()
    result = provider.apply(provider.plan(["plain"]))
    assert {change.id: change.before for change in result.changes} == {"plain": "1.0", "fresh": ""}
    assert provider.rollback(result.changes).done == ("plain",)
    assert "fresh" in scratch.apt("dpkg-query", "-W")


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1", "locked"),
        (
            "E: Could not open lock file /var/lib/dpkg/lock - open (13: Permission denied)\n"
            "E: Unable to acquire the dpkg frontend lock (/x/lock-frontend), are you root?",
            "denied",
        ),
        ("E: dpkg was interrupted, you must manually run 'dpkg --configure -a'", "interrupted"),
        ("E: Unable to locate package nosuch", "unknown-update"),
        ("E: Version '9' for 'bash' was not found", "unknown-update"),
        ("E: Unmet dependencies. Try 'apt --fix-broken install'", "failed"),
        (" foo : Depends: bar\nE: Unable to correct problems, you have held broken packages.",
         "unmet-dependencies"),
        ("E: Held packages were changed and -y was used without --allow-change-held-packages.",
         "held"),
        ("Err:1 http://deb.example\n  Temporary failure resolving 'deb.example'", "network"),
        ("W: GPG error: http://x InRelease: NO_PUBKEY 0E98404D386FA1D9", "untrusted"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "disk-full"),
        ("E: something else", "failed"),
    ],
)  # fmt: skip
def test_stderr_tells_the_class_of_an_exit_100(stderr: str, code: str) -> None:
    assert classify(100, stderr).code == f"patch-{code}"


@pytest.mark.parametrize(
    ("origin", "security"),
    [
        ("Debian-Security:12/oldstable-security", True),
        ("Debian-Security:13/stable-security", True),
        ("Ubuntu:22.04/jammy-security", True),
        ("UbuntuESM:22.04/jammy-infra-security", True),
        ("UbuntuESMApps:22.04/jammy-apps-security", True),
        ("Debian:12.15/oldstable", False),
        ("Ubuntu:22.04/jammy-updates", False),
        ("Third Party:1/stable-security", False),
    ],
)
def test_security_origins(origin: str, security: bool) -> None:
    assert is_security_origin(origin) is security


def test_an_inst_line_with_several_origins() -> None:
    line = (
        "Inst libgcrypt20 [1.10.1-3] (1.10.1-3+deb12u1 Debian:12.15/oldstable, "
        "Debian-Security:12/oldstable-security [amd64]) []"
    )
    (found,) = parse_simulation(line).installs
    assert found.origins == ("Debian:12.15/oldstable", "Debian-Security:12/oldstable-security")
    assert (found.installed, found.available, found.arch) == (
        "1.10.1-3",
        "1.10.1-3+deb12u1",
        "amd64",
    )


@given(st.text(alphabet="Inst Remv Conf[]()a1:/,\n -*. release=Packages", max_size=300) | st.text())
@settings(deadline=None)
def test_parsers_take_any_text(text: str) -> None:
    for found in parse_simulation(text).installs:
        assert not found.name.startswith("-")
    parse_policy(text)
    parse_release_labels(text)
    assert classify(100, text).code.startswith("patch-")
