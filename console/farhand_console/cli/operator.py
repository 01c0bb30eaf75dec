"""operator add, list, remove: the roster of people whose keys devices trust."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.cli.ceremonies import lost_approvals
from farhand_console.keys import read_public_key
from farhand_console.output import printable, show_fields, show_table, warn
from farhand_console.trust.ceremonies import admin_keys, with_roster
from farhand_console.trust.signing import Change, publish
from farhand_console.trust.verified import VerifiedTrust
from farhand_console.trust.vouching import keep_devices
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.identity import key_fingerprint, parse_public_key_line
from farhand_protocol.trust import (
    PERMISSIONS,
    Operator,
    is_permission,
)

__all__ = ["register"]

_DEFAULT_PERMISSIONS = ("order", "author", "approve:read", "approve:change", "session:*@*")


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    operators = group(root, "operator", "People whose keys devices trust.")

    @command(operators)
    @click.argument("name")
    @click.option("--key", "key_file", required=True, type=click.Path(exists=True, dir_okay=False))
    @click.option(
        "--can",
        help="Permissions, comma-separated; a new person gets "
        f"{','.join(_DEFAULT_PERMISSIONS)}, somebody known keeps theirs.",
    )
    @click.option("--tier", type=click.IntRange(1, 3), help="1 for a new person.")
    @click.option("--fingerprint", help="The key's (SHA256:...), as its owner reads it out.")
    @click.option("--yes", is_flag=True, help="Sign without comparing the fingerprint.")
    def add(
        context: Context,
        name: str,
        key_file: str,
        can: str | None,
        tier: int | None,
        fingerprint: str | None,
        yes: bool,
    ) -> None:
        """Add a person, or a key to a person, with the public key they handed over."""
        key = _read_key(Path(key_file))
        wanted = None if can is None else _permissions(can)
        _compare(name, key_fingerprint(key), fingerprint, yes=yes)

        def change(operators: list[Operator]) -> list[Operator]:
            return _with_key(operators, name, key, wanted, tier)

        version = _sign_roster(context, change)
        permissions = next(
            one.permissions for one in context.fresh_trust().roster.operators if one.name == name
        )
        answer = {
            "name": name,
            "permissions": permissions,
            "fingerprint": key_fingerprint(key),
            "targets_version": version,
        }
        context.show(answer, lambda: show_fields(answer))

    @command(operators, "list")
    def list_operators(context: Context) -> None:
        """List the roster as the trust root signs it."""
        items: list[dict[str, Any]] = [
            {
                "name": one.name,
                "permissions": one.permissions,
                "tier": one.tier,
                "fingerprints": [key_fingerprint(key) for key in one.keys],
            }
            for one in context.trust().roster.operators
        ]
        context.show(
            {"items": items, "next": None},
            lambda: show_table(
                ("name", "tier", "may", "keys"),
                [
                    (o["name"], o["tier"], " ".join(o["permissions"]), " ".join(o["fingerprints"]))
                    for o in items
                ],
            ),
        )

    @command(operators)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Take a person off the roster: their grants and orders end everywhere."""

        def change(operators: list[Operator]) -> list[Operator]:
            others = [one for one in operators if one.name != name]
            if len(others) == len(operators):
                raise FarhandError("operator-unknown", f"{name[:80]!r} is not in the roster")
            return others

        _sign_roster(context, change)
        lost = lost_approvals(context.fresh_trust())
        if lost:
            warn(f"{len(lost)} scripts lack an approval now: {', '.join(lost[:5])}")
        answer = {"name": name, "removed": True, "unapproved": lost}
        context.show(answer, lambda: show_fields(answer))


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return parse_public_key_line(file.read(64 * 1024).decode().strip())
    except (FarhandError, UnicodeDecodeError):
        pass  # perhaps a private key: its public half lies beside it
    try:
        return read_public_key(path)
    except FarhandError as error:
        raise UsageError(error.code, error.message, hint=error.hint) from error


def _compare(name: str, seen: str, said: str | None, *, yes: bool) -> None:
    """Have the key compared with what its owner sees, before anything is signed.

    Raises:
        FarhandError: `key-mismatch`.
        RefusedError: `key-mismatch` when whoever is asked says no.
    """
    if said is not None:
        if said.strip() != seen:
            raise FarhandError("key-mismatch", f"the file holds the key {seen}")
    elif yes:
        return
    elif sys.stdin.isatty():
        shown = printable(name, 80)
        if not click.confirm(f"does `farhand key show` show {seen} to {shown}?", err=True):
            raise RefusedError("key-mismatch", "nothing was signed")
    else:
        warn(f"signing a key uncompared; --fingerprint {seen} is what its owner should see")


def _permissions(text: str) -> list[str]:
    permissions = [part.strip() for part in text.split(",") if part.strip()]
    for permission in permissions:
        if not is_permission(permission):
            raise UsageError(
                "permission-unknown",
                f"{permission[:80]!r} is not a permission",
                hint=f"{', '.join(PERMISSIONS)}, session:SCOPE@GROUP",
            )
    return list(dict.fromkeys(permissions))


def _with_key(
    operators: list[Operator],
    name: str,
    key: bytes,
    permissions: list[str] | None,
    tier: int | None,
) -> list[Operator]:
    """Return the operators with this key under this name."""
    holder = next((one for one in operators if key in one.keys), None)
    if holder is not None and holder.name != name:
        raise FarhandError("key-taken", f"this key belongs to {holder.name!r} already")
    before = next((one for one in operators if one.name == name), None)
    if before is None:
        before = Operator(name=name, keys=[], permissions=list(_DEFAULT_PERMISSIONS), tier=1)
    operator = Operator(
        name=name,
        keys=before.keys if holder else [*before.keys, key],
        permissions=before.permissions if permissions is None else permissions,
        tier=before.tier if tier is None else tier,
    )
    return [*(one for one in operators if one.name != name), operator]


def _sign_roster(context: Context, make: Callable[[list[Operator]], list[Operator]]) -> int:
    """Publish a roster; admins' keys enter and leave the root and targets roles with it.

    Returns:
        The new targets version.
    """
    own = context.signer().public_key

    def change(trust: VerifiedTrust) -> Change:
        operators = make(trust.roster.operators)
        before, after = admin_keys(trust.roster.operators), admin_keys(operators)
        if own in before and own not in after:
            raise FarhandError(
                "last-admin",
                "you cannot take the admin's part from the key you sign with",
                hint="another admin does that",
            )
        return keep_devices(context.relay, trust, with_roster(trust, operators))

    return publish(context.relay, context.fresh_trust, context.signer(), change)
