"""bundle open: what a device's support bundle holds."""

from __future__ import annotations

from pathlib import Path

import click

from farhand_console.bundle import open_bundle, summary_lines, unpack_into
from farhand_console.cli.base import Context, command, group
from farhand_console.output import line, printable, say, warn
from farhand_console.relay import segments
from farhand_console.relay.desk import TicketMessage
from farhand_console.session.recording_keys import load_identities
from farhand_console.trust.devices import pins, verify_device
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import parse_public_key_line

__all__ = ["register"]

_MAX_NOTE_CHARS = 8_000


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    bundles = group(root, "bundle", "Support bundles that devices wrote.")

    @command(bundles, "open")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--ticket", help="Add the summary and the SHA-256 to this ticket.")
    @click.option("--out", type=click.Path(path_type=Path), help="Unpack into this new folder.")
    @click.option(
        "--identity",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The age identity or ssh-ed25519 key that it was sealed to.",
    )
    @click.option("--device-key", help="The device's key, where it is not known here.")
    def open_one(
        context: Context,
        file: Path,
        ticket: str | None,
        out: Path | None,
        identity: Path | None,
        device_key: str | None,
    ) -> None:
        """Decrypt a bundle, check it against its manifest, and sum it up."""
        given = _parse_key(device_key) if device_key else None
        opener = load_identities(context.home, identity)
        bundle = open_bundle(
            file, opener, known_key=lambda device: given or _known_key(context, device)
        )
        paths = unpack_into(bundle, out) if out is not None else []
        lines = summary_lines(bundle)
        note = None
        if ticket is not None:
            body = "\n".join(printable(one, 1000) for one in lines)[:_MAX_NOTE_CHARS]
            path = segments("tickets", ticket, "messages")
            note = context.relay.post(path, TicketMessage, {"kind": "note", "body": body})
        answer = {
            "device": bundle.manifest.device or None,
            "made_at": bundle.manifest.made_at,
            "signed": bundle.signed,
            "sha256": bundle.sha256,
            "cleaned": bundle.manifest.cleaned,
            "secrets_removed": bundle.manifest.secrets_removed,
            "files": bundle.manifest.files,
            "omitted": bundle.manifest.omitted,
            "troubles": bundle.troubles(),
            "paths": paths,
            "note": note,
        }

        def readable() -> None:
            for one in lines:
                line(one, 1000)
            for one in paths:
                say(one)
            if note is not None:
                say(f"the summary is in {ticket}")

        context.show(answer, readable)
        if bundle.signed == "unknown-key":
            warn("this console does not know the device's key; name it with --device-key")


def _parse_key(text: str) -> bytes:
    text = text.strip()
    try:
        return bytes.fromhex(text) if len(text) == 64 else parse_public_key_line(text)
    except ValueError as error:
        raise FarhandError("key-malformed", "the device key is not hex") from error


def _known_key(context: Context, device: str) -> bytes | None:
    """Return a device's key as pinned here, or as verified now where this home is signed in."""
    pinned = pins(context.home).get(device)
    if pinned is not None:
        return bytes.fromhex(pinned)
    if context.home.settings_or_none() is None:
        return None
    try:
        told = context.relay.get(segments("devices", device), dict)
        return verify_device(context.home, context.trust(), told, asked=device).key
    except FarhandError as error:
        # A bundle is read where the network is what is broken, too; then it stays unknown.
        warn(f"the device's key could not be looked up: {error}")
        return None
