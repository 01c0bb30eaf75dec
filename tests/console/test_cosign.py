"""Root and targets that two admins sign: proposals from hand to hand, as python-tuf sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from farhand_console.trust.ceremonies import (
    deprecated,
    new_admin_key,
    new_recovery_key,
    raised_floor,
    renewed,
    with_roster,
)
from farhand_console.trust.proposals import (
    Proposal,
    differences,
    missing_signatures,
    read_proposal,
)
from farhand_console.trust.signing import Change, check_complete, cosigned, set_signatures
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.trust import PERMISSIONS, Operator
from tests.console.organisation import signer
from tests.console.test_ceremonies import Case, refused

Make = Callable[[VerifiedTrust], Change]


class Pair(Case):
    """An organisation whose changes two of its admins, ada and bea, must sign."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bea = signer()
        self.sign(lambda trust: with_roster(trust, [*trust.roster.operators, self.person("bea")]))
        file = self.propose(lambda trust: Change({}, set_signatures(trust, 2)))
        self.publish_with(self.bea, file)

    def person(self, name: str, key: bytes | None = None) -> Operator:
        key = key or self.bea.public_key
        return Operator(name=name, keys=[key], permissions=list(PERMISSIONS))

    def propose(
        self, make: Make, admin: SeedSigner | None = None, by: SeedSigner | None = None
    ) -> Path:
        """Sign a change alone, and return the file that another admin is to sign."""
        with pytest.raises(FarhandError) as caught:
            self.sign(make, admin, by)
        assert caught.value.code == "signatures-missing"
        assert caught.value.exit_code == 3
        return Path(caught.value.message.split(": ")[1])

    def publish_with(self, admin: SeedSigner, file: Path) -> VerifiedTrust:
        """Cosign, upload, and follow it from the first root."""
        trust = self.load()
        signed = cosigned(read_proposal(file, trust), admin)
        check_complete(trust, signed)
        self.relay.post("/trust", None, msgspec.structs.asdict(signed))
        return self.load()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_one_admin_changes_nothing_and_two_do(pair: Pair) -> None:
    before = pair.load()
    assert before.root.signed.roles["targets"].threshold == 2
    file = pair.propose(lambda trust: raised_floor(trust, "check.a", 3))
    assert file.stat().st_mode & 0o777 == 0o600
    assert pair.load().targets_version == before.targets_version
    # The same admin again is no second one.
    trust = pair.load()
    again = cosigned(read_proposal(file, trust), pair.admin)
    assert missing_signatures(trust, again) == 1
    shown = differences(trust, again)
    assert any('"check.a": 3' in one for one in shown)
    assert pair.publish_with(pair.bea, file).floors.scripts == {"check.a": 3}
    # It is used up.
    refused("trust-conflict", lambda: read_proposal(file, pair.load()))


def test_what_one_admin_signed_alone_is_not_followed(pair: Pair) -> None:
    """A relay (or an admin) that publishes a half-signed change all the same."""
    file = pair.propose(lambda trust: raised_floor(trust, "check.a", 9))
    proposal = read_proposal(file, pair.load())
    pair.relay.take(msgspec.structs.asdict(proposal))
    refused("trust-invalid", pair.load)


def test_what_is_shown_is_what_is_signed(pair: Pair) -> None:
    file = pair.propose(
        lambda trust: deprecated(trust, "check.a", None, "check.b is better", "check.b")
    )
    trust = pair.load()
    proposal = read_proposal(file, trust)
    shown = "\n".join(differences(trust, proposal))
    assert "check.b is better" in shown
    assert "deprecations.json" in shown
    # Neither another body, nor one more file, nor one less, nor rubbish gets past the reader.
    (name,) = proposal.files
    for files in ({name: b"{}"}, {**proposal.files, "roster.json": b"{}x", "a": b""}, {}):
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(proposal, files=files)))
        refused("trust-invalid", lambda: read_proposal(file, trust))
    file.write_bytes(b"{}")
    refused("trust-invalid", lambda: read_proposal(file, trust))
    bad = Proposal(root=None, targets=b"[]", files={})
    file.write_bytes(msgspec.json.encode(bad))
    refused("trust-invalid", lambda: read_proposal(file, trust))


def test_an_overtaken_proposal_is_made_anew(pair: Pair) -> None:
    first = pair.propose(lambda trust: raised_floor(trust, "check.a", 3))
    kept = first.read_bytes()
    pair.publish_with(pair.bea, pair.propose(renewed, pair.admin))
    first.write_bytes(kept)
    refused("trust-conflict", lambda: read_proposal(first, pair.load()))


def test_so_many_signatures_are_so_many_people(pair: Pair) -> None:
    trust = pair.load()
    refused("threshold-unreachable", lambda: set_signatures(trust, 3))
    ada, bea = trust.roster.operators
    refused("threshold-unreachable", lambda: with_roster(trust, [ada]))
    second = signer().public_key
    both = msgspec.structs.replace(ada, keys=[*ada.keys, second])
    refused("threshold-unreachable", lambda: with_roster(trust, [both, bea]))
    # A third admin may come, and then one may leave; each is signed by two.
    key = signer()
    cal = pair.person("cal", key.public_key)
    file = pair.propose(lambda trust: with_roster(trust, [*trust.roster.operators, cal]))
    assert pair.publish_with(pair.bea, file).root.signed.roles["targets"].threshold == 2
    file = pair.propose(lambda trust: with_roster(trust, [pair.person("bea"), cal]), pair.bea)
    # Whoever leaves does not count for what comes after.
    refused("signatures-missing", lambda: pair.publish_with(pair.admin, file))
    left = pair.publish_with(key, file)
    assert [one.name for one in left.roster.operators] == ["bea", "cal"]


def test_a_lost_key_takes_the_recovery_key_and_the_other_admin(pair: Pair) -> None:
    fresh = signer()
    gone = [pair.admin.public_key]
    file = pair.propose(
        lambda trust: new_admin_key(trust, "ada", fresh.public_key, instead_of=gone),
        fresh,
        pair.recovery,
    )
    trust = pair.publish_with(pair.bea, file)
    assert trust.roster.holder(fresh.public_key) is not None
    assert trust.roster.holder(pair.admin.public_key) is None
    refused("not-trust-admin", lambda: pair.sign(renewed))


def test_the_threshold_and_the_recovery_key_change_with_two_signatures(pair: Pair) -> None:
    key = signer().public_key
    pair.publish_with(pair.bea, pair.propose(lambda trust: new_recovery_key(trust, key)))
    file = pair.propose(lambda trust: Change({}, set_signatures(trust, 1)), pair.bea)
    trust = pair.publish_with(pair.admin, file)
    assert trust.root.signed.roles["root"].threshold == 1
    assert pair.sign(renewed).targets_version == trust.targets_version + 1
