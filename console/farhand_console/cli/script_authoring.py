"""script new, lint, diff, try, submit: what an author does before others are asked.

draft      a folder: manifest.toml and the body
lint       schema, bounds, syntax, linters (farhand_console.linting)
diff       against the newest version that devices run
try        on a lab device, signed by the author alone (farhand_console.exempt_orders)
submit     signed as its author, for approval
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, parse_pairs
from farhand_console.cli.exempt import send_exempt
from farhand_console.cli.script_finding import find_script, is_folder
from farhand_console.exempt_orders import draft_exempt, sealed_folder
from farhand_console.library.catalogue import shipped
from farhand_console.linting import lint
from farhand_console.orders import sign_order
from farhand_console.output import hint, line, show_fields
from farhand_console.relay import segments
from farhand_console.relay.answers import Nothing
from farhand_console.scripts import (
    BODY_NAMES,
    make_manifest,
    read_folder,
    shipped_manifest,
)
from farhand_console.trust.devices import verify_device
from farhand_protocol.envelopes import encode_envelope, open_payload, seal
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.exemptions import MAX_EXEMPT_LIFETIME_S
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.trust import script_path

__all__ = ["register"]

_SCRIPT_ID = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*\Z")

_TEMPLATE = """id = "{id}"
version = 1
title = "{id}"
description = "Say what it does and what it changes."
platforms = ["linux"]
interpreter = "sh"
risk = "R0"
timeout_s = 60
run_as = "agent"
sensitive = false

[parameters]
type = "object"
additionalProperties = false

[parameters.properties]
"""
_BODY = """#!/bin/sh
# Parameters: one JSON object in the file $FARHAND_PARAMETERS. Findings: one JSON object on stdout.
set -eu
printf '{"uptime_s": %s}\\n' "$(cut -d. -f1 /proc/uptime)"
"""


def register(scripts: click.Group) -> None:
    """Add the commands of this file to `farhand script`."""
    _register_drafting(scripts)
    _register_comparing(scripts)
    _register_handing_in(scripts)


def _register_drafting(scripts: click.Group) -> None:
    @command(scripts)
    @click.argument("folder", type=click.Path(path_type=Path))
    @click.option("--id", "script_id", help="Dotted name; the folder's name by default.")
    def new(context: Context, folder: Path, script_id: str | None) -> None:
        """Start a script: a folder with a manifest and a body."""
        if (folder / "manifest.toml").exists():
            raise FarhandError("script-exists", f"{folder} holds a script already")
        name = script_id or folder.absolute().name
        if not _SCRIPT_ID.match(name) or len(name) > 100:
            raise UsageError(
                "usage", f"{name[:80]!r} is not a script's id", hint="such as check.printer.queue"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.toml").write_text(_TEMPLATE.format(id=name))
        (folder / BODY_NAMES["sh"]).write_text(_BODY)
        answer = {"path": str(folder)}
        context.show(answer, lambda: hint(f"edit it, then: farhand script lint {folder}"))

    @command(scripts, "lint")
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    def lint_command(context: Context, folder: Path) -> None:
        """Check a script folder: manifest, parameter schema, syntax."""
        table, body = read_folder(folder)
        now = datetime.now(UTC)
        manifest = make_manifest(table, body, tenant="-", author="-", now=now, expires=now)
        problems, notes = lint(table, body)
        answer = {
            "id": manifest.id,
            "version": manifest.version,
            "problems": problems,
            "notes": notes,
        }

        def readable() -> None:
            for problem in problems:
                line(problem)
            for note in notes:
                hint(note)

        context.show(answer, readable)
        if problems:
            raise FarhandError("lint-failed", f"{len(problems)} problems in {folder}")


def _register_comparing(scripts: click.Group) -> None:
    @command(scripts)
    @click.argument("source")
    @click.option("--version", type=click.IntRange(1), help="Of SOURCE, where it is an id.")
    def diff(context: Context, source: str, version: int | None) -> None:
        """Compare a folder, or what was handed in, with the newest version that devices run."""
        if is_folder(source):
            table, body = read_folder(Path(source))
            now = datetime.now(UTC).replace(microsecond=0)
            manifest = make_manifest(
                table, body, tenant=context.settings.tenant, author="-", now=now, expires=now
            )
        else:
            _, manifest, body, _ = find_script(context, source, version)
        before, old_body = _published_before(context, manifest, is_draft=is_folder(source))
        lines = [
            *_compared("manifest", _fields(before), _fields(manifest), before, manifest),
            *_compared("body", _text(old_body), _text(body), before, manifest),
        ]
        answer = {
            "id": manifest.id,
            "version": manifest.version,
            "against": None if before is None else before.version,
            "changed": bool(lines),
            "diff": lines,
        }

        def readable() -> None:
            if before is None:
                hint(f"no version of {manifest.id} is published: all of it is new")
            for one in lines:
                line(one, len(one))

        context.show(answer, readable)

    @command(scripts, "try")
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option("--device", required=True, help="A lab device, by id or unique name.")
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE, once per parameter.")
    @click.option("--ticket")
    @click.option("--reason", help="Shown at the device; names the version by default.")
    @click.option(
        "--ttl", type=click.IntRange(1, MAX_EXEMPT_LIFETIME_S), default=600, help="Seconds."
    )
    def try_command(
        context: Context,
        folder: Path,
        device: str,
        pairs: tuple[str, ...],
        ticket: str | None,
        reason: str | None,
        ttl: int,
    ) -> None:
        """Run a draft on a lab device, signed by its author alone, and wait for its result."""
        table, body = read_folder(folder)
        problems = lint(table, body).problems
        if problems:
            raise FarhandError("lint-failed", problems[0], hint=f"farhand script lint {folder}")
        trust = context.trust()
        now = datetime.now(UTC).replace(microsecond=0)
        told = context.relay.get(segments("devices", device), dict)
        verified = verify_device(context.home, trust, told, asked=device)
        envelope = sealed_folder(context.settings, table, body, context.signer(), now=now)
        draft = draft_exempt(
            trust,
            envelope,
            body,
            parse_pairs(pairs),
            kind="trial",
            reason=reason or f"trial of {table['id']} {table['version']}",
            operator=context.settings.account,
            group=verified.group,
            now=now,
        )
        order, sealed = sign_order(
            draft, verified, context.signer(), now=now, ttl_s=ttl, ticket=ticket
        )
        send_exempt(context, order, sealed, verified, ttl_s=ttl, kind="trial")


def _published_before(
    context: Context, manifest: Manifest, *, is_draft: bool
) -> tuple[Manifest | None, bytes]:
    """Return the newest published version; of something handed in the newest before it."""
    trust = context.trust()
    versions = [
        number
        for name, number in trust.published()
        if name == manifest.id and (is_draft or number < manifest.version)
    ]
    if not versions:
        return None, b""
    newest = open_payload(trust.manifest(manifest.id, max(versions)), Manifest)
    return newest, trust.read(script_path(newest.sha256))


def _fields(manifest: Manifest | None) -> list[str]:
    """Return what an approver signs for, one field a line; what differs always is left out."""
    if manifest is None:
        return []
    fields: dict[str, Any] = msgspec.to_builtins(manifest)
    for name in ("tenant", "author", "sha256", "size_bytes", "created_at", "expires"):
        del fields[name]
    return msgspec.json.format(msgspec.json.encode(fields, order="sorted")).decode().splitlines()


def _text(body: bytes) -> list[str]:
    return body.decode(errors="backslashreplace").splitlines()


def _compared(
    what: str, old: list[str], new: list[str], before: Manifest | None, after: Manifest
) -> list[str]:
    names = (f"{what} {before.version if before else 0}", f"{what} {after.version}")
    return list(unified_diff(old, new, *names, lineterm=""))


def _register_handing_in(scripts: click.Group) -> None:
    @command(scripts)
    @click.argument("source")
    @click.option("--days", type=click.IntRange(1, 730), default=365, help="Until it expires.")
    def submit(context: Context, source: str, days: int) -> None:
        """Hand in a script for approval: a folder, signed as its author, or a shipped id."""
        settings = context.settings
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + timedelta(days=days)
        ship = next((one for one in shipped() if one.id == source), None)
        if ship is not None and not Path(source).is_dir():
            manifest = shipped_manifest(settings.tenant, ship, now=now, expires=expires)
            envelope, body = seal(manifest), ship.body
        else:
            table, body = read_folder(Path(source))
            problems = lint(table, body).problems
            if problems:
                raise FarhandError("lint-failed", problems[0], hint=f"farhand script lint {source}")
            manifest = make_manifest(
                table,
                body,
                tenant=settings.tenant,
                author=settings.account,
                now=now,
                expires=expires,
            )
            envelope = seal(manifest, context.signer())
        sealed = {"envelope": encode_envelope(envelope), "body": body}
        context.relay.post("/scripts", Nothing, sealed)
        answer = {
            "id": manifest.id,
            "version": manifest.version,
            "digest": manifest_digest(envelope),
            "risk": manifest.risk,
            "state": "submitted",
        }
        context.show(answer, lambda: show_fields(answer))
