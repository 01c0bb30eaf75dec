"""script new, lint, submit, approve, publish, revoke, list, show; and run."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.library.catalogue import shipped
from farhand_console.output import (
    hint,
    line,
    page_through,
    show_fields,
    show_table,
)
from farhand_console.relay import segments
from farhand_console.relay.answers import (
    Nothing,
    Page,
    Script,
)
from farhand_console.scripts import (
    BODY_NAMES,
    approved,
    fetch_script,
    lint,
    make_manifest,
    publish_script,
    read_folder,
    shipped_manifest,
)
from farhand_console.trust.signing import Change, publish, tuf_key
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import (
    Envelope,
    encode_envelope,
    open_payload,
    seal,
    sign_again,
)
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.manifest import Manifest, approvers, manifest_digest
from farhand_protocol.trust import (
    REVOCATIONS_PATH,
    Approval,
    Revocation,
    Revocations,
    Risk,
    encode_document,
    manifest_path,
    script_path,
)

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


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    scripts = group(root, "script", "Approved scripts.")
    _register_authoring(scripts)
    _register_approving(scripts)
    _register_reading(scripts)


def _register_authoring(scripts: click.Group) -> None:
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
        problems = lint(table, body)
        answer = {"id": manifest.id, "version": manifest.version, "problems": problems}

        def readable() -> None:
            for problem in problems:
                line(problem)

        context.show(answer, readable)
        if problems:
            raise FarhandError("lint-failed", f"{len(problems)} problems in {folder}")

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
            problems = lint(table, body)
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


def _register_approving(scripts: click.Group) -> None:
    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1), help="The newest by default.")
    @click.option("--yes", is_flag=True, help="Do not show the script and ask.")
    def approve(context: Context, script: str, version: int | None, yes: bool) -> None:
        """Read a script and sign it as an approver; publish it where that makes it whole."""
        trust = context.trust()
        envelope, manifest, body, state = _find(context, script, version)
        rule = _rule(trust, manifest.risk)
        me = trust.roster.holder(context.signer().public_key)
        if manifest.author == context.settings.account or (me and me.name == manifest.author):
            raise RefusedError("own-script", "an author cannot approve their own script")
        if me is None or rule.permission not in me.permissions:
            raise RefusedError("not-approver", f"the roster does not give you {rule.permission!r}")
        if not yes and sys.stdin.isatty():
            page_through(_for_reading(manifest, body))
            words = f"approve {manifest.id} {manifest.version} ({manifest.risk})?"
            click.confirm(words, abort=True, err=True)
        before, envelope = envelope, _signed_again(envelope, context.signer())
        if state != "published" and envelope != before:
            context.relay.post(
                segments("scripts", manifest.id, manifest.version, "approvals"),
                Nothing,
                {"envelope": encode_envelope(envelope)},
            )
            # Another approver may have signed since: the relay keeps the signatures of all.
            envelope, _, body = fetch_script(context.relay, manifest.id, manifest.version)
        count = len(approvers(envelope, manifest, trust.roster, rule.permission))
        published = False
        keyid = tuf_key(context.signer().public_key).keyid
        if count >= rule.count and keyid in trust.root.signed.roles["targets"].keyids:
            publish_script(context.relay, context.fresh_trust, context.signer(), envelope, body)
            published = True
        answer = {
            "id": manifest.id,
            "version": manifest.version,
            "digest": manifest_digest(envelope),
            "approvals": count,
            "needed": rule.count,
            "published": published,
        }
        context.show(answer, lambda: show_fields(answer))

    @command(scripts, "publish")
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1), help="The newest by default.")
    def publish_command(context: Context, script: str, version: int | None) -> None:
        """Put an approved script among the signed targets."""
        envelope, manifest, body, _ = _find(context, script, version)
        targets = publish_script(
            context.relay, context.fresh_trust, context.signer(), envelope, body
        )
        answer = {"id": manifest.id, "version": manifest.version, "targets_version": targets}
        context.show(answer, lambda: show_fields(answer))

    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1), help="All versions without it.")
    @click.option("--reason", required=True)
    def revoke(context: Context, script: str, version: int | None, reason: str) -> None:
        """Revoke a script for good, on every device."""
        removed: set[int] = set()
        subject = script if version is None else _digest(context, script, version)

        def change(trust: VerifiedTrust) -> Change:
            removed.clear()
            if version is None:
                removed.update(one for name, one in trust.published() if name == script)
            elif (script, version) in trust.published():
                removed.add(version)
            changes = {manifest_path(script, one): None for one in removed}
            entry = Revocation(
                kind="script",
                subject=subject,
                reason=reason,
                at=format_instant(datetime.now(UTC).replace(microsecond=0)),
            )
            revoked = [*trust.revocations.revoked, entry]
            document = Revocations(tenant=trust.revocations.tenant, revoked=revoked)
            return Change(changes | {REVOCATIONS_PATH: encode_document(document)})

        targets = publish(context.relay, context.fresh_trust, context.signer(), change)
        for one in sorted(removed | ({version} if version is not None else set())):
            _tell_revoked(context, script, one)
        answer = {"id": script, "revoked": subject, "targets_version": targets}
        context.show(answer, lambda: show_fields(answer))


def _find(
    context: Context, script: str, version: int | None
) -> tuple[Envelope, Manifest, bytes, str]:
    """Return a script with its state: from the signed targets, or as it was handed in.

    The newest version goes first; what was handed in is newer than what is published.
    """
    trust = context.trust()
    known = [number for name, number in trust.published() if name == script]
    try:
        handed_in = fetch_script(context.relay, script, version)
    except FarhandError as error:
        if error.code not in ("not-found", "script-unknown") or not known:
            raise
        handed_in = None
    if handed_in is not None and handed_in[1].version not in known:
        state = "submitted"
        revoked = {one.subject for one in trust.revocations.revoked if one.kind == "script"}
        if script in revoked or manifest_digest(handed_in[0]) in revoked:
            state = "revoked"
        return *handed_in, state
    envelope = trust.manifest(script, version)
    manifest = open_payload(envelope, Manifest)
    return envelope, manifest, trust.read(script_path(manifest.sha256)), "published"


def _rule(trust: VerifiedTrust, risk: Risk) -> Approval:
    rule = trust.policy.approvals.get(risk)
    if rule is None:
        raise RefusedError("script-not-approved", f"the policy has no approval rule for {risk}")
    return rule


def _for_reading(manifest: Manifest, body: bytes) -> str:
    """Return everything that an approver signs for: the whole manifest, then the body."""
    fields = msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
    return f"{fields}\n\n{body.decode(errors='backslashreplace')}"


def _signed_again(envelope: Envelope, signer: Signer) -> Envelope:
    """Add this approver's signature; one that is there already is enough."""
    try:
        return sign_again(envelope, signer)
    except FarhandError as error:
        if error.code != "already-signed":
            raise
        return envelope


def _digest(context: Context, script: str, version: int) -> str:
    """Return the digest of a version, published or only handed in."""
    try:
        return manifest_digest(context.trust().manifest(script, version))
    except FarhandError as error:
        if error.code != "script-unknown":
            raise
    envelope, _, _ = fetch_script(context.relay, script, version)
    return manifest_digest(envelope)


def _tell_revoked(context: Context, script: str, version: int) -> None:
    """Let the relay's list say so too; what `trust init` published is not in it."""
    try:
        context.relay.post(segments("scripts", script, version, "revoked"), Nothing)
    except FarhandError as error:
        if error.code not in ("not-found", "script-unknown"):
            raise


def _register_reading(scripts: click.Group) -> None:
    @command(scripts, "list")
    @paged
    def list_scripts(context: Context, limit: int, cursor: str | None) -> None:
        """List published scripts (from the signed targets) and those handed in."""
        page = context.relay.get("/scripts", Page[Script], limit=limit, cursor=cursor)
        items: dict[tuple[str, int], Script] = {(one.id, one.version): one for one in page.items}
        if cursor is None:
            items |= _published(context)
        answer = Page(items=[items[key] for key in sorted(items)], next=page.next)
        context.show(
            answer,
            lambda: show_table(
                ("id", "version", "risk", "state", "title"),
                [(s.id, s.version, s.risk, s.state, s.title) for s in answer.items],
            ),
        )

    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1))
    def show(context: Context, script: str, version: int | None) -> None:
        """Show a script: its manifest, approvals and body."""
        trust = context.trust()
        envelope, manifest, body, state = _find(context, script, version)
        rule = _rule(trust, manifest.risk)
        answer = {
            "id": manifest.id,
            "version": manifest.version,
            "title": manifest.title,
            "description": manifest.description,
            "state": state,
            "risk": manifest.risk,
            "author": manifest.author,
            "approvals": sorted(approvers(envelope, manifest, trust.roster, rule.permission)),
            "needed": rule.count,
            "digest": manifest_digest(envelope),
            "expires": manifest.expires,
            "parameters": manifest.parameters,
            "body": body.decode(errors="replace"),
        }

        def readable() -> None:
            show_fields({k: v for k, v in answer.items() if k != "body"})
            for words in str(answer["body"]).splitlines():
                line("  " + words, 4000)

        context.show(answer, readable)


def _published(context: Context) -> dict[tuple[str, int], Script]:
    """Return what stands among the signed targets; none where there is no trust root yet."""
    try:
        trust = context.trust()
    except FarhandError as error:
        if error.code != "no-trust-root":
            raise
        return {}
    found = {}
    for script, version in trust.published():
        envelope = trust.manifest(script, version)
        manifest = open_payload(envelope, Manifest)
        try:
            approved(envelope, trust)
            state = "published"
        except FarhandError as error:
            state = error.code  # a roster that shrank can take back an approval
        found[script, version] = Script(
            id=script,
            version=version,
            risk=manifest.risk,
            state=state,
            title=manifest.title,
            author=manifest.author,
            digest=manifest_digest(envelope),
        )
    return found
