"""Names and numbers of releases."""

from __future__ import annotations

import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.releases import (
    authored,
    is_by_its_author,
    is_platform,
    is_signed_by,
    is_version,
    release_approvers,
    release_author,
    release_name,
    release_path,
    release_rule,
    signing_keys,
    split_release_path,
    version_number,
    version_text,
)
from farhand_protocol.trust import DEFAULT_APPROVALS
from tests.protocol.samples import operator, policy, roster, signer


def test_versions_compare_as_numbers_and_come_back() -> None:
    ordered = ["0.0.1", "0.2.0", "0.10.0", "1.0.0", "999.999.999"]
    assert sorted(ordered, key=version_number) == ordered
    assert [version_text(version_number(one)) for one in ordered] == ordered


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.1000", "-1.2.3", "1.2.x"]
)
def test_what_is_no_version(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(FarhandError, match="release-malformed"):
        version_number(text)


def test_paths_are_taken_apart_as_they_were_put_together() -> None:
    path = release_path("linux-x86_64-py3.11", "0.2.0")
    assert path == "releases/linux-x86_64-py3.11/0.2.0"
    assert split_release_path(path) == ("linux-x86_64-py3.11", "0.2.0")
    assert release_name(path, "ab" * 32) == f"releases/linux-x86_64-py3.11/{'ab' * 32}.0.2.0"
    for other in (
        "releases/linux-x86_64-py3.11",
        "releases/x/0.2.0",
        "scripts/a/0.2.0",
        path + "/",
    ):
        assert split_release_path(other) is None
    with pytest.raises(FarhandError, match="release-malformed"):
        release_path("../..", "0.2.0")
    assert not is_platform("linux-x86_64-py3.11\n")


def test_an_author_is_a_short_name_or_none() -> None:
    assert release_author({"author": "ada"}) == "ada"
    others: tuple[object, ...] = (None, [], {}, {"author": 7}, {"author": ""}, {"author": "a" * 65})
    for other in others:
        assert release_author(other) == ""


def test_a_release_is_of_whoever_signed_it() -> None:
    people = roster(operator("alice", keys=["alice", "alice-2"]), operator("bo"))
    path = release_path("linux-x86_64-py3.11", "0.2.0")
    of = {"path": path, "sha256": "ab" * 32}
    made = authored("alice", signer("alice-2"), tenant=people.tenant, size_bytes=7, **of)
    assert made["author"] == "alice"
    assert is_by_its_author(people, made, size_bytes=7, **of)
    for custom, size, file in (
        (made, 8, of),
        (made, 7, of | {"sha256": "cd" * 32}),
        (made, 7, of | {"path": path[:-1] + "1"}),
        (made | {"author": "bo"}, 7, of),
        (made | {"author": "eve"}, 7, of),
        (made | {"signature": "zz"}, 7, of),
        ({"author": "alice"}, 7, of),
        (None, 7, of),
    ):
        assert not is_by_its_author(people, custom, size_bytes=size, **file)
    others = authored("alice", signer("alice"), tenant="n-other", size_bytes=7, **of)
    assert not is_by_its_author(people, others, size_bytes=7, **of)


def test_a_signature_is_good_or_it_is_none() -> None:
    key, good = signer("bo").public_key, signer("bo").sign(b"words").hex()
    assert is_signed_by(key, good, b"words")
    for other in (good[:-2], "zz", "", None, 7, good.encode()):
        assert not is_signed_by(key, other, b"words")
    assert not is_signed_by(key, good, b"other words")


def test_people_approve_a_release_each_once_and_its_author_never() -> None:
    people = roster(
        operator("alice", "approve:destructive", keys=["alice", "alice-2"]),
        operator("bo", "approve:destructive"),
        operator("carol", "order"),
    )
    rule = release_rule(policy())
    assert rule == DEFAULT_APPROVALS["R3"]
    keys = signing_keys(people, rule)
    assert keys == [signer(name).public_key for name in ("alice", "alice-2", "bo")]
    signed = {signer(name).public_key for name in ("alice", "alice-2", "bo", "carol")}
    assert release_approvers(people, rule, author="dan", keys=signed) == ["alice", "bo"]
    assert release_approvers(people, rule, author="alice", keys=signed) == ["bo"]
    assert release_approvers(people, rule, author="dan", keys=[]) == []
