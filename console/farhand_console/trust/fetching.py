"""python-tuf's client over the signed-in relay connection.

`verified` loads this only when metadata is fetched: with it comes urllib3, which is never used here
(the fetcher below is) and which most commands need not wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from farhand_console.relay import Relay
from farhand_protocol.errors import FarhandError

__all__ = ["fetch_role", "open_updater"]

_BASE = "relay://"


class _RelayFetcher(FetcherInterface):
    """Fetches TUF files through the signed-in relay connection."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield self._relay.get_bytes("/trust/" + url.removeprefix(_BASE))
        except FarhandError as error:
            if error.code in ("not-found", "no-trust-root"):
                raise DownloadHTTPError(error.message, 404) from error
            raise DownloadError(str(error)) from error


# Before any expiry.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def open_updater(
    relay: Relay, *, metadata: Path, targets: Path, bootstrap: bytes, expired_too: bool = False
) -> Updater:
    """Return the client that starts from the root `bootstrap`; nothing is fetched yet.

    Args:
        relay: the signed-in connection.
        metadata, targets: folders of what was verified.
        bootstrap: the root to start from.
        expired_too: take expired metadata, for the ceremonies that renew them; signatures, versions
            and hashes are checked all the same.
    """
    updater = Updater(
        metadata_dir=str(metadata),
        metadata_base_url=_BASE + "metadata/",
        target_dir=str(targets),
        target_base_url=_BASE + "targets/",
        fetcher=_RelayFetcher(relay),
        bootstrap=bootstrap,
    )
    if expired_too:
        # The client has no other way in; tests/console/test_ceremonies.py holds us to it.
        updater._trusted_set.reference_time = _LONG_AGO
    return updater


def fetch_role(updater: Updater, path: str) -> None:
    """Have a delegated role fetched and checked, whether or not it has expired.

    Whoever signs the next version of a role looks at this one, also when nobody did in time; that
    an expired one approves nothing is for devices to say.

    Args:
        updater: after its refresh.
        path: a target that would be the role's.
    """
    trusted = updater._trusted_set
    before, trusted.reference_time = trusted.reference_time, _LONG_AGO
    try:
        updater.get_targetinfo(path)
    finally:
        trusted.reference_time = before
