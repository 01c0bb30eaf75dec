"""Which version is newer, by the rules of Debian, RPM and everybody else."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.fleet.versions import compare_versions, satisfies

SOURCES = ("dpkg", "rpm", "pip")

# Each list from the oldest to the newest; entries of one tuple are alike.
DEBIAN: list[tuple[str, ...]] = [
    ("0~~",),
    ("0~",),
    ("0", "", "0-0", "0:0"),
    ("1.0~rc1-1",),
    ("1.0", "1.0-0", "0:1.0", "01.00"),
    ("1.0-1~bpo1",),
    ("1.0-1",),
    ("1.0-1+b1",),
    ("1.0a",),
    ("1.0+dfsg",),
    ("1.0.1",),
    ("1.2",),
    ("1.10",),
    ("3.0.15-1~deb12u1",),
    ("3.0.17-1~deb12u1",),
    ("99999999999999999999",),
    ("1:0.1",),
]
RPM: list[tuple[str, ...]] = [
    ("1.0~rc1-9",),
    ("1.0-1.fc40", "0:1.0-1.fc40", "1_0-1.fc40"),
    ("1.0-1.fc41",),
    ("1.0-10.fc40",),
    ("1.0^git1-1",),
    ("1.0.a-1",),
    ("1.0.1-1", "1.00.01-1"),
    ("1.10-1",),
    ("2-1",),
    ("1:0.1-1",),
]
PLAIN: list[tuple[str, ...]] = [
    ("1.0.dev1",),
    ("1.0a1", "1.0-alpha.1", "v1.0alpha1"),
    ("1.0b2",),
    ("1.0-rc.1", "1.0rc1"),
    ("1.0rc2",),
    ("1.0", "1", "1.0.0", "v1.0", "1.0+build.7", " 1.0 "),
    ("1.0a",),
    ("1.0p1",),
    ("1.0.1",),
    ("1.2",),
    ("1.10",),
    ("128.0.6613.137",),
]


@pytest.mark.parametrize(
    ("source", "ladder"), [("dpkg", DEBIAN), ("rpm", RPM), ("pip", PLAIN), ("winget", PLAIN)]
)
def test_ladders(source: str, ladder: list[tuple[str, ...]]) -> None:
    for at, alike in enumerate(ladder):
        for other_at, others in enumerate(ladder):
            for one in alike:
                for other in others:
                    found = compare_versions(source, one, other)
                    assert (found > 0) - (found < 0) == (at > other_at) - (at < other_at), (
                        one,
                        other,
                    )


def test_rpm_compares_no_release_where_none_is_asked_for() -> None:
    assert satisfies("rpm", "3.0.7-24.el9", "=", "3.0.7")
    assert satisfies("rpm", "3.0.7-24.el9", "<", "3.0.7-27.el9")
    assert not satisfies("rpm", "3.0.7-24.el9", "<", "3.0.7")


def test_pacman_has_epochs_and_releases_and_plain_parts() -> None:
    ladder = ["1.0rc1-9", "1.0-1", "1.0-2", "1.0.1-1", "1:0.1-1"]
    for at, one in enumerate(ladder[1:]):
        assert compare_versions("pacman", ladder[at], one) < 0
    assert compare_versions("pacman", "1.0", "1.0-3") == 0


def test_operators() -> None:
    for operator, fits in {
        "=": "B", "!=": "AC", "<": "A", "<=": "AB", ">": "C", ">=": "BC"
    }.items():  # fmt: skip
        for name, version in {"A": "1.9", "B": "2.0", "C": "2.1"}.items():
            assert satisfies("dpkg", version, operator, "2.0") == (name in fits)


VERSIONS = st.text(alphabet="0129ab~^.-+:_ z\u00e4", max_size=12) | st.text(max_size=8)


@given(st.sampled_from(SOURCES), VERSIONS, VERSIONS, VERSIONS)
def test_any_texts_have_one_order(source: str, a: str, b: str, c: str) -> None:
    def sign(one: str, other: str) -> int:
        found = compare_versions(source, one, other)
        return (found > 0) - (found < 0)

    assert sign(a, a) == 0
    assert sign(a, b) == -sign(b, a)
    # A missing release leaves RPM's versions without one order: any release of it is alike.
    if source != "rpm" or len({"-" in one for one in (a, b, c)}) == 1:
        ordered = sorted((a, b, c), key=functools.cmp_to_key(sign))
        assert sign(ordered[0], ordered[1]) <= 0
        assert sign(ordered[0], ordered[2]) <= 0
        if sign(a, b) == 0:
            assert sign(a, c) == sign(b, c)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_dpkg_itself_agrees() -> None:
    flat = [one for alike in DEBIAN for one in alike if one and one[0].isdigit()]
    flat += ["1.0-1-1", "2:1~", "1.0.~", "1.0.a", "1..0", "0.0-0~"]
    pairs = [(a, b) for at, a in enumerate(flat) for b in flat[at::3]]
    script = "".join(
        f"dpkg --compare-versions '{a}' lt '{b}' && echo -1 || "
        f"{{ dpkg --compare-versions '{a}' eq '{b}' && echo 0 || echo 1; }}\n"
        for a, b in pairs
    )
    told = subprocess.run(
        ["sh"], input=script, capture_output=True, text=True, check=True, timeout=60
    )
    assert len(pairs) > 80
    for (a, b), line in zip(pairs, told.stdout.split(), strict=True):
        found = compare_versions("dpkg", a, b)
        assert (found > 0) - (found < 0) == int(line), (a, b, told.stderr)
