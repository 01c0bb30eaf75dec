"""The device's policy: the stricter side wins, field by field, and a bad file allows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.config import Home
from farhand_agent.policy import NOTHING, effective_policy, load_own, merge, policy_words
from farhand_protocol.errors import FarhandError
from farhand_protocol.trust import RISKS, SCOPES, GroupPolicy

OWN = st.fixed_dictionaries(
    {},
    optional={
        "attended": st.booleans(),
        "unattended": st.booleans(),
        "consent": st.sampled_from(["ask", "notify"]),
        "scopes": st.lists(st.sampled_from(SCOPES), unique=True),
        "minutes_max": st.integers(0, 600),
        "files_read_only": st.booleans(),
        "forward_to": st.lists(st.sampled_from(["a:1", "b:2"]), unique=True),
        "risks": st.lists(st.sampled_from(RISKS), unique=True),
        "recording": st.sampled_from(["off", "on", "required"]),
    },
)


@given(signed=OWN, own=OWN)
def test_neither_side_can_loosen_the_other(signed: dict[str, Any], own: dict[str, Any]) -> None:
    both = GroupPolicy(**signed)
    merged = merge(both, own)
    for side in (both, GroupPolicy(**own)):
        named = side is both or own.keys()
        if named is True:
            assert set(merged.scopes) <= set(side.scopes)
            assert set(merged.risks) <= set(side.risks)
            assert set(merged.forward_to) <= set(side.forward_to)
    for name in ("scopes", "risks", "forward_to"):
        if name in own:
            assert set(getattr(merged, name)) <= set(own[name])
    assert merged.minutes_max <= min(both.minutes_max, own.get("minutes_max", 10**6))
    assert merged.attended <= both.attended
    assert merged.unattended <= min(both.unattended, own.get("unattended", True))
    assert merged.files_read_only >= max(both.files_read_only, own.get("files_read_only", False))
    if "ask" in (both.consent, own.get("consent")):
        assert merged.consent == "ask"
    order = ["off", "on", "required"]
    assert order.index(merged.recording) >= order.index(both.recording)
    assert order.index(merged.recording) >= order.index(own.get("recording", "off"))
    assert policy_words(merged)


@pytest.mark.parametrize(
    ("signed", "own", "merged", "files"),
    [
        ([], ["/srv"], ["/srv"], True),
        (["/srv"], ["/srv/a"], ["/srv/a"], True),
        (["/srv/a", "/etc"], ["/srv"], ["/srv/a"], True),
        (["/srv"], ["/srvx"], [], False),
    ],
)
def test_file_roots_are_the_common_part(
    signed: list[str], own: list[str], merged: list[str], files: bool
) -> None:
    policy = merge(GroupPolicy(files_roots=signed), {"files_roots": own})
    assert policy.files_roots == merged
    assert ("files" in policy.scopes) == files


@pytest.mark.parametrize(
    "text",
    [
        "scopes = ['everything']",
        "scope = ['view']",
        "minutes_max = 'many'",
        "files_roots = ['../etc']",
        "files_roots = ['/srv/../etc']",
        "[",
        "\xff",
    ],
)
def test_a_file_that_cannot_be_read_allows_nothing(tmp_path: Path, text: str) -> None:
    home = Home.at(tmp_path)
    home.policy.write_bytes(text.encode("latin-1"))
    with pytest.raises(FarhandError) as caught:
        load_own(home)
    assert caught.value.code == "policy-malformed"
    assert effective_policy(home, "default") == NOTHING


def test_a_guest_has_its_own_policy_alone(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.policy.write_text('scopes = ["view"]\nminutes_max = 5\n')
    policy = effective_policy(home, "")
    assert (policy.scopes, policy.minutes_max, policy.unattended) == (["view"], 5, False)


def test_an_enrolled_device_without_verified_trust_allows_nothing(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.config.write_text("")
    assert effective_policy(home, "default") == NOTHING


def test_the_words_name_only_what_this_agent_serves() -> None:
    words = policy_words(GroupPolicy(scopes=["view", "screen", "control", "files"]))
    assert "a session may use: view, files" in words
    assert "a session may use nothing" in policy_words(GroupPolicy(scopes=["screen"]))
