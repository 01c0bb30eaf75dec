"""Which releases a device takes for approved: people are counted, not signatures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from farhand_agent.config import Home
from farhand_agent.trust.update import update
from farhand_agent.trust.verified import Verified, load_verified
from farhand_protocol.instants import format_instant
from farhand_protocol.releases import release_path
from farhand_protocol.trust import Roster
from tests.agent.organisation import Organisation, _tuf_key, now, signer

PATH = release_path("linux-x86_64-py3.11", "0.2.0")


class Files(FetcherInterface):
    """Serves what the organisation published, without a relay."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation

    def _fetch(self, url: str) -> Iterator[bytes]:
        kind, _, name = url.removeprefix("https://trust.invalid/").partition("/")
        body = self._organisation.read(kind, name)
        if body is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        return iter([body])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


def updated(organisation: Organisation, home: Home) -> Verified:
    """Update a device's trust and return its verified copy."""
    request = {
        "trust": str(home.trust),
        "tenant": organisation.tenant,
        "root": organisation.pinned,
        "targets_floor": 1,
        "now": format_instant(now()),
    }
    update(request, Files(organisation))
    trust = load_verified(home)
    assert trust is not None
    return trust


def approvers(organisation: Organisation, home: Home) -> list[str] | None:
    """Return who approved the release by a device's copy, None where it is none there."""
    found = updated(organisation, home).releases.get(PATH)
    return found.approvers if found else None


def by_the_author(organisation: Organisation) -> None:
    organisation.release_signers = [organisation.author, organisation.boss]


def by_one_person_with_two_keys(organisation: Organisation) -> None:
    more = signer()
    ada, bo, cy = organisation.roster.operators
    bo = msgspec.structs.replace(bo, keys=[*bo.keys, more.public_key])
    organisation.roster = Roster(tenant=organisation.tenant, operators=[ada, bo, cy])
    organisation.release_signers = [organisation.boss, more]


def by_somebody_without_the_permission(organisation: Organisation) -> None:
    ada, bo, cy = organisation.roster.operators
    cy = msgspec.structs.replace(cy, permissions=["order", "approve:change"])
    organisation.roster = Roster(tenant=organisation.tenant, operators=[ada, bo, cy])


def by_one_alone(organisation: Organisation) -> None:
    organisation.release_signers = [organisation.boss]


def by_strangers(organisation: Organisation) -> None:
    organisation.release_signers = [signer(), signer()]


def expired(organisation: Organisation) -> None:
    organisation.releases_expire = timedelta(seconds=-1)


def of_nobody_here(organisation: Organisation) -> None:
    organisation.releases = {PATH: (b"release", "mallory")}


def of_somebody_who_knows_nothing_of_it(organisation: Organisation) -> None:
    """Bo drafted it, names ada, and would be counted himself then."""
    organisation.release_authors["ada"] = organisation.boss


@pytest.mark.parametrize(
    "spoil",
    [
        by_the_author,
        by_one_person_with_two_keys,
        by_somebody_without_the_permission,
        by_one_alone,
        by_strangers,
        expired,
        of_nobody_here,
        of_somebody_who_knows_nothing_of_it,
    ],
)
def test_a_release_that_too_few_people_approved_is_none(
    organisation: Organisation, home: Home, spoil: Callable[[Organisation], None]
) -> None:
    organisation.releases = {PATH: (b"release", "ada")}
    spoil(organisation)
    organisation.publish()
    trust = updated(organisation, home)
    assert trust.releases == {}
    assert trust.targets_version == organisation.version, "everything else was taken over"


@pytest.mark.parametrize("rubbish", ["zz", "0", ""])
def test_a_signature_that_cannot_be_read_is_none(
    organisation: Organisation, home: Home, rubbish: str
) -> None:
    organisation.releases = {PATH: (b"release", "ada")}
    organisation.publish()
    name = "metadata", f"{organisation.version}.releases.json"
    fields = json.loads(organisation.files[name])
    more = _tuf_key(organisation.author.public_key).keyid
    fields["signatures"].append({"keyid": more, "sig": rubbish})
    organisation.files[name] = json.dumps(fields).encode()
    assert approvers(organisation, home) == ["bo", "cy"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"signatures": [{"sig": 7}]}'])
def test_whatever_stands_for_the_role_costs_the_releases_alone(
    organisation: Organisation, home: Home, body: bytes
) -> None:
    organisation.releases = {PATH: (b"release", "ada")}
    organisation.publish()
    organisation.files["metadata", f"{organisation.version}.releases.json"] = body
    trust = updated(organisation, home)
    assert (trust.releases, trust.targets_version) == ({}, organisation.version)


@pytest.mark.parametrize("error", [ValueError, TypeError, RecursionError])
def test_whatever_a_library_makes_of_the_role_costs_the_releases_alone(
    organisation: Organisation, home: Home, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise error

    organisation.releases = {PATH: (b"release", "ada")}
    organisation.publish()
    monkeypatch.setattr("farhand_agent.trust.releases._signing_keys", fails)
    trust = updated(organisation, home)
    assert (trust.releases, trust.targets_version) == ({}, organisation.version)


def test_a_release_stays_its_authors_when_others_sign_the_next_list(
    organisation: Organisation, home: Home
) -> None:
    later = release_path("linux-x86_64-py3.11", "0.3.0")
    organisation.releases = {PATH: (b"release", "ada"), later: (b"next", "ada")}
    organisation.publish()
    assert sorted(updated(organisation, home).releases) == [PATH, later]


def test_an_approval_counts_as_long_as_its_people_do(
    organisation: Organisation, home: Home
) -> None:
    organisation.releases = {PATH: (b"release", "ada")}
    organisation.publish()
    assert approvers(organisation, home) == ["bo", "cy"]
    ada, bo, _ = organisation.roster.operators
    organisation.roster = Roster(tenant=organisation.tenant, operators=[ada, bo])
    organisation.publish()
    assert approvers(organisation, home) is None


def test_a_role_that_goes_back_approves_nothing(organisation: Organisation, home: Home) -> None:
    organisation.releases = {PATH: (b"release", "ada")}
    organisation.publish()
    old = organisation.files["metadata", f"{organisation.version}.releases.json"]
    organisation.publish()
    assert approvers(organisation, home) == ["bo", "cy"]
    organisation.publish()
    organisation.files["metadata", f"{organisation.version}.releases.json"] = old
    assert approvers(organisation, home) is None
