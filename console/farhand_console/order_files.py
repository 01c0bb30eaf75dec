"""Orders that travel by file: packed here with the trust metadata that a device may lack.

The relay keeps the order as any other, so that the result has its place whichever way it comes
back; a device that comes online meanwhile gets it there too, and runs it once.
"""

from __future__ import annotations

from pathlib import Path

from tuf.api.metadata import Metadata, Snapshot

from farhand_console.relay import Relay
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.order_files import OrderFile, pack_order

__all__ = ["carried_order", "write_new"]


def carried_order(sealed: bytes, trust: VerifiedTrust, relay: Relay, folder: Path) -> bytes:
    """Return the bytes of an order's file.

    Args:
        sealed: the order.
        trust: verified metadata, all of whose targets go along.
        relay: serves the roots between the device's pinned one and the newest.
        folder: where this console keeps verified metadata.

    Raises:
        FarhandError: `order-file-too-large`; what reading targets and asking the relay raise.
    """
    root = trust.root.signed.version
    files = {f"metadata/{root}.root.json": trust.root_bytes}
    for version in range(1, root):
        name = f"{version}.root.json"
        files[f"metadata/{name}"] = relay.get_bytes(f"/trust/metadata/{name}")
    metadata = folder / "metadata"
    snapshot = (metadata / "snapshot.json").read_bytes()
    version = Metadata[Snapshot].from_bytes(snapshot).signed.version
    files["metadata/timestamp.json"] = (metadata / "timestamp.json").read_bytes()
    files[f"metadata/{version}.snapshot.json"] = snapshot
    files[f"metadata/{trust.targets_version}.targets.json"] = (
        metadata / "targets.json"
    ).read_bytes()
    for path in trust.paths():
        digest = trust.targets.signed.targets[path].hashes["sha256"]
        before, slash, name = path.rpartition("/")
        files[f"target/{before}{slash}{digest}.{name}"] = trust.read(path)
    return pack_order(OrderFile(order=sealed, trust=files))


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        UsageError: `file-exists`.
        FarhandError: `file-unwritable`.
    """
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError("file-exists", f"there is a file {path} already") from error
    except OSError as error:
        raise FarhandError(
            "file-unwritable", f"{path} cannot be written: {error.strerror}"
        ) from error
