"""Who this device is, as a session process needs it: enrolled home or guest home.

A folder that was never enrolled becomes a guest home: it gets a device key and a journal of its
own, belongs to no organisation, pins no relay key, and trusts nobody's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import asyncssh

from farhand_agent.config import Home, Settings, load_settings, read_limited
from farhand_agent.hostname import host_name
from farhand_agent.journal import Journal
from farhand_agent.keeper import SEED_BYTES, create_key, load_key
from farhand_agent.link import RelayAddress, check_url
from farhand_agent.policy import effective_policy
from farhand_agent.session.host import host_key
from farhand_agent.trust.verified import Verified, current_group, load_verified
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.pairing import canonical_origin
from farhand_protocol.trust import GroupPolicy

__all__ = ["Device", "load_device"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """This device; `settings` is None on a guest."""

    home: Home
    settings: Settings | None
    address: RelayAddress
    signer: SeedSigner
    ssh_key: asyncssh.SSHKey
    host_name: str

    @property
    def id(self) -> str:
        """The device id."""
        return device_id(self.signer.public_key)

    @property
    def guest(self) -> bool:
        """Whether it belongs to no organisation."""
        return self.settings is None

    @property
    def tenant(self) -> str:
        """The organisation's id, empty on a guest."""
        return self.settings.tenant if self.settings else ""

    def trust(self) -> Verified | None:
        """Read the verified trust copy again; None on a guest and where there is none yet.

        Raises:
            FarhandError: `trust-damaged`.
        """
        return load_verified(self.home) if self.settings else None

    def group(self, trust: Verified | None) -> str:
        """Return the device's group, empty on a guest."""
        return current_group(self.settings, trust) if self.settings else ""

    def relay_origins(self) -> list[str]:
        """Return the addresses that the signed policy names for the relay's nodes; may read files.

        Empty on a guest, and where the verified copy cannot be read.
        """
        try:
            trust = self.trust()
        except FarhandError:
            return []
        return trust.policy.relay_origins if trust else []

    def policy(self, trust: Verified | None) -> GroupPolicy:
        """Return what this device allows right now."""
        return effective_policy(self.home, self.group(trust), trust)


def load_device(home: Home, url: str | None) -> tuple[Device, Journal]:
    """Open an enrolled home, or a guest home for the relay at `url`.  Blocks.

    Args:
        home: the agent's home.
        url: the relay's address; needed for a guest, and refused for another relay than an
            enrolled device's own.

    Raises:
        UsageError: `url-needed`, `url-other-relay`, `url-insecure`, `url-malformed`.
        FarhandError: `home-unusable`, `journal-...`.
    """
    home.make()
    if home.is_enrolled:
        settings = load_settings(home)
        if url is not None and canonical_origin(url) != canonical_origin(settings.url):
            raise UsageError(
                "url-other-relay",
                "an enrolled device pairs only through its own relay",
                hint="leave --url out, or use an empty folder as --home to act as a guest",
            )
        signer = load_key(str(home.device_key))
        if device_id(signer.public_key) != settings.device:
            raise FarhandError("home-unusable", "device.key is not the key of this device")
        return _device(home, settings, RelayAddress.of(home, settings), signer), Journal(
            home.journal
        )
    if url is None:
        raise UsageError(
            "url-needed",
            "this folder was never enrolled, so the relay's address is needed",
            hint="add --url https://RELAY as the technician tells you",
        )
    check_url(url)
    if not home.device_key.exists():
        create_key(str(home.device_key))
    signer = load_key(str(home.device_key))
    return _device(home, None, RelayAddress(url), signer), Journal(home.journal, create=True)


def _device(
    home: Home, settings: Settings | None, address: RelayAddress, signer: SeedSigner
) -> Device:
    return Device(
        home=home,
        settings=settings,
        address=address,
        signer=signer,
        ssh_key=host_key(read_limited(Path(home.device_key), SEED_BYTES)),
        host_name=host_name(),
    )
