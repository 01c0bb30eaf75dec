"""Releases at the console: what is drafted, what a relay may hand out for signing, who counts."""

from __future__ import annotations

import copy
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Signature
from tuf.api.exceptions import ExpiredMetadataError
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater

from farhand_console.cli.release import _compare, _platform, _published_item
from farhand_console.trust.fetching import fetch_role
from farhand_console.trust.releases import (
    Draft,
    approvers_of,
    check_approved,
    delegated,
    draft_with,
    read_draft,
    signed_draft,
)
from farhand_console.trust.signing import tuf_key
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.releases import release_path
from farhand_protocol.trust import Operator, Roster
from tests.agent.organisation import Organisation
from tests.agent.trust.test_releases import Files
from tests.console.organisation import TENANT, FakeTrust, signer

PLATFORM = "linux-x86_64-py3.11"
SHA256 = hashlib.sha256(b"release").hexdigest()
ADA, BO, CY = signer(), signer(), signer()


@dataclass
class Trust(FakeTrust):
    """With a published role, and targets that delegate or do not."""

    published: Metadata[Targets] | None = None

    def __post_init__(self) -> None:
        self.targets = Metadata(Targets())

    def releases(self) -> Metadata[Targets] | None:
        return self.published


@pytest.fixture
def trust() -> Any:
    people = [
        Operator(name=name, keys=[one.public_key], permissions=["approve:destructive", "admin"])
        for name, one in (("ada", ADA), ("bo", BO), ("cy", CY))
    ]
    return Trust(Roster(tenant=TENANT, operators=people))


def draft(
    trust: Any, version: str = "0.2.0", author: str = "ada", by: SeedSigner | None = None
) -> Draft:
    path = release_path(PLATFORM, version)
    own = by or {"ada": ADA, "bo": BO}[author]
    return draft_with(trust, path, sha256=SHA256, size=7, author=author, signer=own)


def test_others_sign_what_one_has_drafted(trust: Any) -> None:
    first = draft(trust)
    body = signed_draft(first, ADA)
    for one, people in ((ADA, []), (BO, ["bo"]), (BO, ["bo"]), (CY, ["bo", "cy"])):
        read = read_draft(trust, body)
        assert (read.path, read.author, read.sha256) == (first.path, "ada", SHA256)
        body = signed_draft(read, one)
        assert approvers_of(trust, read) == people
        if len(people) < 2:
            with pytest.raises(FarhandError, match="release-not-approved"):
                check_approved(trust, read)
    check_approved(trust, read_draft(trust, body))
    # The next one follows what was published, and does not replace it.
    trust.published = Metadata[Targets].from_bytes(body)
    second = draft(trust, "0.3.0", author="bo")
    assert second.metadata.signed.version == 2
    assert sorted(second.metadata.signed.targets) == [first.path, second.path]
    with pytest.raises(FarhandError, match="release-exists"):
        draft(trust)
    # Whoever has left the roster counts no more.
    trust.roster = Roster(tenant=TENANT, operators=trust.roster.operators[:2])
    assert approvers_of(trust, Draft(trust.published, first.path, first.info)) == ["bo"]


def two_at_once(role: Targets) -> None:
    path = release_path(PLATFORM, "6.6.6")
    role.targets[path] = TargetFile.from_data(path, b"evil", ["sha256"])


def another_file_for_a_published_one(role: Targets) -> None:
    path = release_path(PLATFORM, "0.1.0")
    role.targets[path] = TargetFile.from_data(path, b"evil", ["sha256"])


def one_less(role: Targets) -> None:
    del role.targets[release_path(PLATFORM, "0.1.0")]


def no_release(role: Targets) -> None:
    role.targets["scripts/a"] = role.targets.pop(release_path(PLATFORM, "0.2.0"))


def an_older_version(role: Targets) -> None:
    role.version = 1


def for_ever(role: Targets) -> None:
    role.expires = datetime.now(UTC) + timedelta(days=4000)


def by_nobody_here(role: Targets) -> None:
    role.targets[release_path(PLATFORM, "0.2.0")].unrecognized_fields["custom"] = {"author": "eve"}


@pytest.mark.parametrize(
    "spoil",
    [
        two_at_once,
        another_file_for_a_published_one,
        one_less,
        no_release,
        an_older_version,
        for_ever,
        by_nobody_here,
    ],
)
def test_a_relay_that_hands_out_another_draft_gets_no_signature(
    trust: Any, spoil: Callable[[Targets], None]
) -> None:
    trust.published = draft(trust, "0.1.0").metadata
    made = copy.deepcopy(draft(trust).metadata)
    assert read_draft(trust, made.to_bytes()).path == release_path(PLATFORM, "0.2.0")
    spoil(made.signed)
    with pytest.raises(FarhandError, match="release-draft"):
        read_draft(trust, made.to_bytes())


def test_whoever_drafts_cannot_name_somebody_else_and_count_as_approver(trust: Any) -> None:
    forged = draft(trust, author="ada", by=BO)
    with pytest.raises(FarhandError, match="has not signed it"):
        read_draft(trust, signed_draft(forged, BO))
    signed_draft(forged, CY)
    assert approvers_of(trust, forged) == []


def test_a_signature_that_cannot_be_read_is_none(trust: Any) -> None:
    made = draft(trust)
    signed_draft(made, BO)
    keyid = tuf_key(CY.public_key).keyid
    made.metadata.signatures[keyid] = Signature(keyid, "zz")
    assert approvers_of(trust, read_draft(trust, made.to_bytes())) == ["bo"]


def test_a_list_says_of_a_published_release_whether_devices_take_it(trust: Any) -> None:
    made = draft(trust)
    for one in (ADA, BO, CY):
        signed_draft(made, one)
    assert _published_item(trust, made)["state"] == "not-counted", "nobody is delegated to"
    change = delegated(trust)
    assert change is not None
    trust.targets.signed.delegations = change.delegations
    item = _published_item(trust, made)
    assert (item["state"], item["approved_by"]) == ("published", ["bo", "cy"])
    trust.roster = Roster(tenant=TENANT, operators=trust.roster.operators[:2])
    item = _published_item(trust, made)
    assert (item["state"], item["approved_by"]) == ("not-counted", ["bo"])
    made.metadata.signed.expires = datetime.now(UTC) - timedelta(seconds=1)
    assert _published_item(trust, made)["state"] == "expired"


def test_a_draft_that_is_none_is_refused(trust: Any) -> None:
    for body in (b"", b"{}", b"[" * 100_000):
        with pytest.raises(FarhandError, match="release-draft"):
            read_draft(trust, body)


def test_whoever_signs_the_next_role_can_read_one_that_has_expired(tmp_path: Path) -> None:
    organisation, path = Organisation(), release_path(PLATFORM, "0.2.0")
    organisation.releases = {path: (b"release", "ada")}
    organisation.releases_expire = timedelta(seconds=-1)
    organisation.publish()
    updater = Updater(
        str(tmp_path),
        "https://trust.invalid/metadata",
        str(tmp_path),
        "https://trust.invalid/target",
        Files(organisation),
        bootstrap=organisation.pinned,
    )
    updater.refresh()
    with pytest.raises(ExpiredMetadataError):
        updater.get_targetinfo(path)
    fetch_role(updater, path)
    kept = Metadata[Targets].from_bytes((tmp_path / "releases.json").read_bytes())
    assert list(kept.signed.targets) == [path]


def test_the_targets_delegate_to_those_who_may_approve_now(trust: Any) -> None:
    change = delegated(trust)
    assert change is not None
    assert change.delegations is not None
    (role,) = (change.delegations.roles or {}).values()
    assert (role.name, role.threshold, len(role.keyids)) == ("releases", 2, 3)
    assert (role.paths, role.terminating) == (["releases/*/*"], True)
    trust.targets.signed.delegations = change.delegations
    assert delegated(trust) is None
    trust.roster = Roster(tenant=TENANT, operators=trust.roster.operators[:2])
    assert delegated(trust) is not None


def test_what_is_approved_is_what_was_compared(trust: Any, tmp_path: Path) -> None:
    waiting = draft(trust)
    (tmp_path / "same").write_bytes(b"release")
    (tmp_path / "other").write_bytes(b"another")
    _compare(waiting, SHA256.upper(), tmp_path / "same")
    for sha256, file in (
        ("0" * 64, None),
        (None, tmp_path / "other"),
        (SHA256, tmp_path / "other"),
    ):
        with pytest.raises(FarhandError, match="release-differs"):
            _compare(waiting, sha256, file)


def test_a_file_tells_its_version_and_platform(tmp_path: Path) -> None:
    site = "tree/lib/python3.11/site-packages"
    file = tmp_path / "release.pyz"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(f"{site}/farhand_agent/version.py", 'VERSION: Final = "0.2.0"\n')
        made.writestr(f"{site}/msgspec/_core.cpython-311-x86_64-linux-gnu.so", b"")
    assert _platform(file, "0.2.0", None) == PLATFORM
    assert _platform(file, "0.2.0", "linux-aarch64-py3.11") == "linux-aarch64-py3.11"
    with pytest.raises(FarhandError, match="says that its version"):
        _platform(file, "0.2.1", None)
    with pytest.raises(FarhandError, match="release-malformed"):
        _platform(file, "0.2.0", "../..")
    file.write_bytes(b"no zip")
    with pytest.raises(FarhandError, match="release-malformed"):
        _platform(file, "0.2.0", None)
