"""Which releases a device takes for approved: people are counted, not signatures."""

from __future__ import annotations

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
from tests.agent.organisation import Organisation, now, signer

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
