"""trust refresh, revoke, floor, rotate, recover: the ceremonies of an organisation's admins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command
from farhand_console.keys import create_key, load_signer, make_recovery_key
from farhand_console.output import hint, show_fields, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import Device
from farhand_console.scripts import approved
from farhand_console.trust.ceremonies import (
    lost_keys,
    new_admin_key,
    new_recovery_key,
    raised_floor,
    renewed,
    revoked,
)
from farhand_console.trust.signing import Change, publish
from farhand_console.trust.verified import VerifiedTrust, load_trust
from farhand_console.trust.vouching import keep_devices
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import is_device_id, key_fingerprint
from farhand_protocol.instants import format_instant

__all__ = ["lost_approvals", "register"]

_MAX_REASON_CHARS = 500
_expired = click.option(
    "--expired",
    is_flag=True,
    help="Also where the metadata have expired: compare the version with other admins first.",
)


def register(trust: click.Group) -> None:
    """Add the commands of this file to `farhand trust`."""
    _register_every_day(trust)
    _register_keys(trust)


def _register_every_day(trust: click.Group) -> None:
    @command(trust)
    @_expired
    def refresh(context: Context, expired: bool) -> None:
        """Sign the targets again for another 30 days, and the root when its year is nearly over."""
        publish(context.relay, _load(context, expired=expired), context.signer(), renewed)
        answer = _versions(context)
        context.show(answer, lambda: show_fields(answer))

    @command(trust)
    @click.option("--device", required=True, help="Id or name; what is retired, by id.")
    @click.option("--reason", required=True, help="Kept in the signed revocations.")
    def revoke(context: Context, device: str, reason: str) -> None:
        """Revoke a device's key for good: no console signs for it, and it does nothing any more."""
        if not reason.strip() or len(reason) > _MAX_REASON_CHARS or not reason.isprintable():
            raise UsageError("usage", f"a reason has 1 to {_MAX_REASON_CHARS} printable characters")
        found = _device_id(context, device)
        version = publish(
            context.relay,
            context.fresh_trust,
            context.signer(),
            lambda verified: revoked(verified, "device", found, reason),
        )
        answer = {"device": found, "revoked": True, "targets_version": version}

        def readable() -> None:
            show_fields(answer)
            hint(f"farhand device retire {found} closes its link at this relay as well")

        context.show(answer, readable)

    @command(trust)
    @click.argument("script")
    @click.argument("version", type=click.IntRange(1, 2**31 - 1), required=False)
    def floor(context: Context, script: str, version: int | None) -> None:
        """Show or raise the lowest version of a script that devices still run."""
        if version is not None:
            if (script, version) not in context.trust().published():
                warn(f"{script} {version} is not published: devices will run no version of it")
            wanted = version
            publish(
                context.relay,
                context.fresh_trust,
                context.signer(),
                lambda verified: raised_floor(verified, script, wanted),
            )
        verified = context.fresh_trust() if version is not None else context.trust()
        answer = {
            "script": script,
            "floor": verified.floors.scripts.get(script, 0),
            "targets_version": verified.targets_version,
        }
        context.show(answer, lambda: show_fields(answer))


def _register_keys(trust: click.Group) -> None:
    @command(trust)
    @click.option(
        "--key",
        "key_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Your new key; it is made where there is none, and this home uses it from then on.",
    )
    @click.option(
        "--recovery",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Make a new recovery key here; the old one counts no more.",
    )
    def rotate(context: Context, key_file: Path | None, recovery: Path | None) -> None:
        """Replace your own key or the recovery key, with your present key at hand."""
        if (key_file is None) == (recovery is None):
            raise UsageError("usage", "give either --key or --recovery")
        present = context.signer()
        if recovery is not None:
            _renew_recovery(context, recovery)
            return
        assert key_file is not None
        path = key_file.absolute()
        settings = context.settings
        create_key(path, f"{settings.account}@{settings.organisation}")
        admin = load_signer(path)
        if admin.public_key == present.public_key:
            raise UsageError("usage", f"{path} is the key that you have now")
        holder = context.trust().roster.holder(admin.public_key)
        if holder is not None and holder.name == settings.account:
            # Other admins have signed meanwhile what this command proposed before.
            context.home.update(key_file=str(path))
            _show_keys(context, admin.public_key, [])
            return

        def change(verified: VerifiedTrust) -> Change:
            holder = verified.roster.holder(present.public_key)
            name = holder.name if holder else settings.account
            gone = [present.public_key]
            made = new_admin_key(verified, name, admin.public_key, instead_of=gone)
            return keep_devices(context.relay, verified, made)

        publish(context.relay, context.fresh_trust, admin, change, by=present)
        context.home.update(key_file=str(path))
        _show_keys(context, admin.public_key, [present.public_key])

    @command(trust)
    @click.option(
        "--key",
        "recovery",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The recovery key that `trust init` or `trust rotate --recovery` made.",
    )
    @click.option(
        "--lost",
        multiple=True,
        help="People whose keys are lost; your own earlier ones where you name nobody.",
    )
    @click.option(
        "--stolen",
        is_flag=True,
        help="Believe nothing that the lost keys signed: their devices must be confirmed anew.",
    )
    @_expired
    def recover(
        context: Context, recovery: Path, lost: tuple[str, ...], stolen: bool, expired: bool
    ) -> None:
        """Make this console's key an admin's with the recovery key, in place of lost ones."""
        by = load_signer(recovery)
        admin = context.signer()
        name = context.settings.account
        load = _load(context, expired=expired)
        before = load()
        own = (name,) if before.roster.find(name) else ()
        gone = lost_keys(before, lost or own) - {admin.public_key}
        holder = before.roster.holder(admin.public_key)
        if not gone and holder is not None and "admin" in holder.permissions:
            raise UsageError("usage", "this console's key is an admin's, and no other is lost")

        def change(verified: VerifiedTrust) -> Change:
            made = new_admin_key(verified, name, admin.public_key, instead_of=gone)
            return made if stolen else keep_devices(context.relay, verified, made)

        publish(context.relay, load, admin, change, by=by)
        _show_keys(context, admin.public_key, sorted(gone))
        hint("the recovery key was on a connected machine: farhand trust rotate --recovery FILE")


def _load(context: Context, *, expired: bool) -> Any:
    return lambda: load_trust(context.home, context.relay, expired_too=expired)


def _versions(context: Context) -> dict[str, Any]:
    verified = context.fresh_trust()
    return {
        "root_version": verified.root.signed.version,
        "root_expires": format_instant(verified.root.signed.expires),
        "targets_version": verified.targets_version,
        "expires": format_instant(verified.targets.signed.expires),
    }


def _device_id(context: Context, device: str) -> str:
    """Return a device's id.  A revocation needs no more: an id is the hash of the key."""
    if is_device_id(device.strip().lower()):
        return device.strip().lower()
    return context.relay.get(segments("devices", device), Device).id


def _renew_recovery(context: Context, path: Path) -> None:
    if path.exists():
        raise UsageError("usage", f"{path} is there already; name a new file")
    made = make_recovery_key(path)

    def change(verified: VerifiedTrust) -> Change:
        return new_recovery_key(verified, made.public_key)

    try:
        publish(context.relay, context.fresh_trust, context.signer(), change)
    except FarhandError as error:
        if error.code != "signatures-missing":
            path.unlink(missing_ok=True)  # it counts for nothing
        raise
    answer = _versions(context) | {
        "recovery_key": str(path),
        "fingerprint": key_fingerprint(made.public_key),
    }

    def readable() -> None:
        show_fields(answer)
        hint(f"move {path} off this machine and keep it safe")

    context.show(answer, readable)


def _show_keys(context: Context, key: bytes, gone: list[bytes]) -> None:
    lost = lost_approvals(context.fresh_trust())
    if lost:
        warn(f"{len(lost)} scripts lack an approval now: {', '.join(lost[:5])}")
    answer = _versions(context) | {
        "fingerprint": key_fingerprint(key),
        "removed": [key_fingerprint(one) for one in gone],
        "unapproved": lost,
    }
    context.show(answer, lambda: show_fields(answer))


def lost_approvals(trust: VerifiedTrust) -> list[str]:
    """Return the published scripts that the roster of now does not approve."""
    lost = []
    for script, version in trust.published():
        try:
            approved(trust.manifest(script, version), trust)
        except FarhandError:
            lost.append(f"{script} {version}")
    return lost
