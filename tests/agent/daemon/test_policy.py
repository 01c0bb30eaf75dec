"""The device's policy: the stricter side wins, field by field, and a bad file allows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.config import Home
from farhand_agent.policy import NOTHING, effective_policy, load_own, merge, policy_words
from farhand_protocol.errors import FarhandError
from farhand_protocol.hours import is_within
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
        "consent_s": st.integers(5, 60),
        "cool_down_s": st.integers(0, 600),
        "file_bytes_max": st.none() | st.integers(0, 10**9),
        "hours": st.lists(
            st.sampled_from(["mon 08:00-18:00", "mon-fri 12:00-20:00", "sun 22:00-02:00"]),
            unique=True,
        ),
        "tier_min": st.integers(1, 9),
        "approvals": st.integers(0, 9),
        "second_operator": st.booleans(),
        "recording_input": st.booleans(),
        "recording_stall": st.sampled_from(["flag", "stop"]),
        "recording_days": st.integers(1, 400),
        "inventory_sections": st.lists(st.sampled_from(["processes", "neighbours"]), unique=True),
        "inventory_personal": st.booleans(),
        "schedules": st.lists(
            st.sampled_from(["a: every 1h; checks a.b", "b: every 1h; checks a.c"]), unique=True
        ),
        "probe_to": st.lists(st.sampled_from(["a.example", "192.0.2.1"]), unique=True),
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
    for name in ("scopes", "risks", "forward_to", "inventory_sections", "schedules", "probe_to"):
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
    for side in (both, msgspec.structs.replace(merged, **own)):
        assert merged.consent_s <= side.consent_s
        assert merged.recording_days <= side.recording_days
        assert merged.cool_down_s >= side.cool_down_s
        assert merged.tier_min >= side.tier_min
        assert merged.approvals >= side.approvals
        assert merged.second_operator >= side.second_operator
        assert merged.recording_input >= side.recording_input
        assert merged.inventory_personal <= side.inventory_personal
        assert (merged.recording_stall, side.recording_stall) != ("flag", "stop")
        if side.file_bytes_max is not None:
            assert merged.file_bytes_max is not None
            assert merged.file_bytes_max <= side.file_bytes_max
        for hour in range(7 * 24 if merged.unattended else 0):
            moment = (hour // 24, hour % 24 * 60)
            assert is_within(merged.hours, *moment) <= is_within(side.hours, *moment)


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
        "consent_s = 61",
        "consent_s = 4",
        "file_bytes_max = -1",
        "tier_min = 0",
        "hours = ['always']",
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


def test_schedules_can_only_be_taken_away(tmp_path: Path) -> None:
    lines = ["a: every 1h; checks a.b", "b: every 1h; checks a.c"]
    signed = GroupPolicy(schedules=lines, probe_to=["a.example"])
    assert merge(signed, {}).schedules == lines
    assert merge(signed, {"schedules": []}).schedules == []
    assert (
        merge(signed, {"schedules": [lines[1], "c: every 1h; checks a.d"]}).schedules == lines[1:]
    )
    assert merge(signed, {"probe_to": ["a.example", "b.example"]}).probe_to == ["a.example"]
    assert NOTHING.schedules == []
    assert any(lines[0] in words for words in policy_words(signed))
    home = Home.at(tmp_path)
    home.policy.write_text('schedules = ["a: whenever; checks a.b"]')
    with pytest.raises(FarhandError, match="policy-malformed"):
        load_own(home)


def test_the_words_name_only_what_this_agent_serves() -> None:
    words = policy_words(GroupPolicy(scopes=["view", "screen", "control", "files"]))
    assert "a session may use: view, screen, control, files" in words
    assert "what reaches far (screen, control) opens only 10 seconds after somebody agreed" in words
    nowhere = policy_words(GroupPolicy(scopes=["view", "forward"]))
    assert "a session may use: view" in nowhere
    assert not any("forwarding" in one for one in nowhere), "it would lead nowhere"
    somewhere = policy_words(GroupPolicy(scopes=["view", "forward"], forward_to=["printer:631"]))
    assert {"a session may use: view, forward", "forwarding: printer:631"} <= set(somewhere)
    assert "a session may use nothing" in policy_words(GroupPolicy(scopes=["forward"]))


def test_the_words_say_what_binds_a_session() -> None:
    words = "\n".join(
        policy_words(
            GroupPolicy(
                unattended=True,
                forward_to=["printer:631"],
                file_bytes_max=1000,
                consent_s=20,
                hours=["mon-fri 08:00-18:00"],
                tier_min=2,
                approvals=1,
                second_operator=True,
                recording="required",
                recording_stall="stop",
            )
        )
    )
    for part in (
        "1000 bytes at most",
        "opens only 10 seconds after",
        "stands for 20 seconds",
        "mon-fri 08:00-18:00",
        "tier 2 and above",
        "approval of 1 others",
        "second technician",
        "ends the session",
        "kept for 365 days",
    ):
        assert part in words
