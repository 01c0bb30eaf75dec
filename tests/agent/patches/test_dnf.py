"""The dnf and yum providers against recorded output of the real tools (see recorded/README.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_agent.patches.dnf_output import (
    classify,
    parse_advisories,
    parse_check_update,
    parse_removals,
    parse_repoquery,
    parse_versionlock,
)
from farhand_agent.patches.dnf_provider import DnfProvider, YumProvider
from farhand_agent.patches.provider import ProviderError, Update
from farhand_agent.platforms.commands import Outcome
from farhand_agent.platforms.files import SystemFiles

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> bytes:
    return (RECORDED / f"dnf-4.14-{name}.txt").read_bytes()


RPM = b"""fhheld|3:1.0-1|noarch|rpm
fhlib|0:1.0-1|noarch|rpm
fhtool|0:2.0-1|noarch|rpm
kernel|0:5.14.0-1|noarch|rpm
"""


class Replay:
    """Answers commands from recordings, by a word that each command has."""

    def __init__(self, answers: Mapping[str, Outcome]) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **_: Any) -> Outcome:
        self.calls.append(list(argv))
        for word, outcome in self.answers.items():
            if word in argv:
                return outcome
        raise AssertionError(f"nobody recorded {argv}")


ANSWERS = {
    "repoquery": Outcome(0, recorded("rq"), b""),
    "check-update": Outcome(100, recorded("check"), b""),
    "updateinfo": Outcome(0, recorded("ui"), b""),
    "versionlock": Outcome(0, recorded("vl"), b""),
    "needs-restarting": Outcome(1, recorded("nr"), b""),
    "--assumeno": Outcome(1, recorded("assumeno"), recorded("assumeno-stderr")),
    "rpm": Outcome(0, RPM, b""),
}
Providers = Callable[[Replay, SystemFiles], DnfProvider | YumProvider]


@pytest.fixture(params=[DnfProvider, YumProvider])
def make(request: pytest.FixtureRequest) -> Providers:
    made: Providers = request.param
    return made


def provider(make: Providers, tmp_path: Path, **changes: Outcome) -> tuple[Any, Replay]:
    names = {
        "check_update": "check-update",
        "needs_restarting": "needs-restarting",
        "assumeno": "--assumeno",
    }
    replay = Replay(ANSWERS | {names.get(key, key): value for key, value in changes.items()})
    return make(replay, SystemFiles(tmp_path)), replay


def test_the_list_joins_updates_advisories_locks_and_versions(
    make: Providers, tmp_path: Path
) -> None:
    one, replay = provider(make, tmp_path)
    found = one.list()
    updates = {update.name: update for update in found.updates}
    assert updates["fhlib"] == Update(
        id="fhlib.noarch",
        name="fhlib",
        installed="1.0-1",
        available="1.1-1",
        arch="noarch",
        origin="fh",
        kind="security",
        severity="important",
        advisories=("FHSA-2026-001",),
    )
    assert (updates["fhtool"].kind, updates["fhtool"].severity) == ("bugfix", "unknown")
    assert updates["kernel"].severity == "critical"
    assert updates["kernel"].requires_reboot
    assert updates["fhheld"].held
    assert updates["fhheld"].kind == "unknown"
    assert (updates["fhheld"].installed, updates["fhheld"].available) == ("3:1.0-1", "3:1.1-1")
    assert found.security_labelled
    assert found.reboot.required is True
    assert found.reboot.reasons == ("kernel",)
    # A repository that cannot be reached must not be skipped in silence.
    assert all("--setopt=*.skip_if_unavailable=0" in c for c in replay.calls if c[0] != "rpm")
    # Listing works from the indexes at hand, without network.
    assert all("-C" in c for c in replay.calls if "updateinfo" in c or "repoquery" in c)


def test_repositories_without_advisories_leave_security_unknown(
    make: Providers, tmp_path: Path
) -> None:
    one, _ = provider(make, tmp_path, updateinfo=Outcome(0, b"", b""))
    found = one.list()
    assert not found.security_labelled
    assert {update.kind for update in found.updates} == {"unknown"}


def test_exit_100_is_updates_and_exit_1_an_error(tmp_path: Path) -> None:
    one, _ = provider(YumProvider, tmp_path)
    assert len(one.list().updates) == 4
    broken = Outcome(1, b"", recorded("broken-strict-stderr"))
    one, _ = provider(YumProvider, tmp_path, check_update=broken)
    with pytest.raises(ProviderError) as caught:
        one.list()
    assert caught.value.code == "patch-network"
    assert caught.value.retryable


def test_a_dry_run_that_ends_with_1_is_a_plan(make: Providers, tmp_path: Path) -> None:
    one, replay = provider(make, tmp_path)
    plan = one.plan(None)
    assert {update.name for update in plan.updates} == {"fhlib", "fhtool", "kernel"}
    assert plan.removals == ()
    dry = next(call for call in replay.calls if "--assumeno" in call)
    assert "-q" not in dry
    assert "fhlib-1.1-1.noarch" in dry


def test_a_dry_run_that_fails_is_no_plan(make: Providers, tmp_path: Path) -> None:
    failed = Outcome(1, b"", recorded("nosuch-stderr"))
    one, _ = provider(make, tmp_path, assumeno=failed)
    with pytest.raises(ProviderError) as caught:
        one.plan(None)
    assert caught.value.code == "patch-unknown-update"


def test_reboot_needs_the_words_because_errors_also_end_with_1(
    make: Providers, tmp_path: Path
) -> None:
    failed = Outcome(1, b"", b"No such command: needs-restarting.")
    one, _ = provider(make, tmp_path, needs_restarting=failed)
    assert one.reboot_state().required is None
    calm = b"No core libraries have been updated.\nReboot should not be necessary.\n"
    one, _ = provider(make, tmp_path, needs_restarting=Outcome(0, calm, b""))
    assert one.reboot_state().required is False


def test_security_only_lines_are_a_part_of_all() -> None:
    every = parse_advisories(recorded("ui").decode())
    security = parse_advisories(recorded("uisec").decode())
    assert [a for a in every if a.kind == "security"] == security
    assert len(parse_check_update(recorded("check-sec").decode())) == len(security)


def test_the_tables_of_dnf_5_are_read_as_well() -> None:
    text = (
        "Name                   Type        Severity                Package              Issued\n"
        "FEDORA-2026-1 security    Important fhlib-1.1-1.noarch 2026-11-01 00:00:00\n"
        "FEDORA-2026-2 enhancement None      fhtool-2.1-1.fc42.x86_64 2026-11-01 00:00:00\n"
    )
    first, second = parse_advisories(text)
    assert (first.kind, first.severity, first.name, first.evr) == (
        "security", "important", "fhlib", "1.1-1",
    )  # fmt: skip
    assert (second.kind, second.severity, second.arch) == ("enhancement", "unknown", "x86_64")
    locks = parse_versionlock("# Added by 'versionlock add'\nPackage name: fhheld\nevr = 3:1.0-1\n")
    assert locks == {"fhheld": ["3:1.0-1"]}


def test_check_update_wraps_long_names_and_lists_obsoletes() -> None:
    text = (
        "\na-very-long-package-name-that-does-not-fit-into-the-column.x86_64\n"
        "                         1:2.0-1.el7                      updates\n"
        "b.noarch   3-1   base\nObsoleting Packages\nc.noarch  1-1  base\n    d.noarch 1-0 @base\n"
    )
    found = parse_check_update(text)
    assert [(one.name[:6], one.evr) for one in found] == [("a-very", "1:2.0-1.el7"), ("b", "3-1")]


def test_the_transaction_table_tells_removals() -> None:
    text = (
        "Upgrading:\n a x 1 r\nRemoving dependent packages:\n gone x 1 @r\n\nTransaction Summary\n"
    )
    assert parse_removals(text) == ["gone"]
    assert parse_removals(recorded("assumeno").decode()) == []


@pytest.mark.parametrize(
    ("exit_code", "stderr", "code"),
    [
        (1, recorded("broken-stderr").decode(), "patch-network"),
        (1, "Error: Cache-only enabled but no cache for 'fh'", "patch-not-refreshed"),
        (200, "", "patch-locked"),
        (1, "Error: This command has to be run with superuser privileges", "patch-denied"),
        (1, "Error: GPG check FAILED", "patch-untrusted"),
        (1, "Error: \n Problem: nothing provides x", "patch-unmet-dependencies"),
        (1, "  - installing package a needs 10MB more space needed on the / filesystem",
         "patch-disk-full"),
        (1, "boom", "patch-failed"),
    ],
)  # fmt: skip
def test_errors_are_classified(exit_code: int, stderr: str, code: str) -> None:
    assert classify("dnf", exit_code, stderr).code == code


@given(st.text(alphabet="ab-1.|:/ \nSec.noarchObsoleting Removing", max_size=300) | st.text())
@settings(deadline=None)
def test_parsers_take_any_text(text: str) -> None:
    packages = [*parse_repoquery(text), *parse_check_update(text)]
    names = [one.name for one in packages] + [one.name for one in parse_advisories(text)]
    assert not any(name.startswith("-") for name in names)
    parse_versionlock(text)
    parse_removals(text)
    assert classify("dnf", 1, text).code.startswith("patch-")
