"""operator add, list, remove: the roster of people whose keys devices trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.keys import read_public_key
from farhand_console.output import show_fields, show_table
from farhand_console.trust.signing import publish, publish_root, set_admin_keys
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import key_fingerprint, parse_public_key_line
from farhand_protocol.trust import (
    ROSTER_PATH,
    Operator,
    Roster,
    encode_document,
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
    @click.option("--can", default=",".join(_DEFAULT_PERMISSIONS), show_default=True)
    @click.option("--tier", type=click.IntRange(1, 3), default=1, show_default=True)
    def add(context: Context, name: str, key_file: str, can: str, tier: int) -> None:
        """Add a person, or a key to a person, with the public key they handed over."""
        key = _read_key(Path(key_file))
        permissions = [part.strip() for part in can.split(",") if part.strip()]
        for permission in permissions:
            if not is_permission(permission):
                raise UsageError("permission-unknown", f"{permission[:80]!r} is not a permission")
        trust = context.trust()
        holder = trust.roster.holder(key)
        if holder is not None and holder.name != name:
            raise FarhandError("key-taken", f"this key belongs to {holder.name} already")
        before = trust.roster.find(name)
        keys = [*(before.keys if before else []), *([] if holder else [key])]
        operator = Operator(name=name, keys=keys, permissions=permissions, tier=tier)
        others = [one for one in trust.roster.operators if one.name != name]
        _sign_roster(context, trust, [*others, operator])
        answer = {
            "name": name,
            "permissions": permissions,
            "fingerprint": key_fingerprint(key),
            "targets_version": context.trust(fresh=True).targets_version,
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
        trust = context.trust()
        operator = trust.roster.find(name)
        if operator is None:
            raise FarhandError("operator-unknown", f"{name[:80]!r} is not in the roster")
        others = [one for one in trust.roster.operators if one.name != name]
        _sign_roster(context, trust, others)
        answer = {"name": name, "removed": True}
        context.show(answer, lambda: show_fields(answer))


def _read_key(path: Path) -> bytes:
    if path.suffix == ".pub":
        return read_public_key(path)
    try:
        return parse_public_key_line(path.read_text())
    except (FarhandError, UnicodeDecodeError):
        return read_public_key(path)


def _sign_roster(context: Context, trust: VerifiedTrust, operators: list[Operator]) -> None:
    """Publish a roster; admins' keys enter and leave the root and targets roles with it."""
    before = _admin_keys(trust.roster.operators)
    after = _admin_keys(operators)
    if not after:
        raise FarhandError("last-admin", "the roster needs at least one admin")
    if before != after:
        root = set_admin_keys(trust, sorted(after - before), sorted(before - after))
        publish_root(context.relay, root, context.signer())
        trust = context.trust(fresh=True)
    roster = Roster(tenant=trust.roster.tenant, operators=operators)
    publish(context.relay, trust, context.signer(), {ROSTER_PATH: encode_document(roster)})


def _admin_keys(operators: list[Operator]) -> set[bytes]:
    return {key for one in operators if "admin" in one.permissions for key in one.keys}
