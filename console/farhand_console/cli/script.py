"""script approve, publish, revoke, deprecate, list, show: what others do with a script.

Its author's commands are in `script_authoring`: new, lint, diff, try, submit.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click
import msgspec

from farhand_console.cli import script_authoring
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.script_finding import approval_rule, check_reason, find_script
from farhand_console.output import (
    line,
    page_through,
    say_whole,
    show_fields,
    show_table,
)
from farhand_console.relay import segments
from farhand_console.relay.answers import (
    Nothing,
    Page,
    Script,
)
from farhand_console.scripts import approved, fetch_script, publish_script
from farhand_console.trust.ceremonies import deprecated, not_deprecated
from farhand_console.trust.signing import Change, publish, tuf_key
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import Envelope, encode_envelope, open_payload, sign_again
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.manifest import Manifest, approvers, manifest_digest
from farhand_protocol.trust import (
    REVOCATIONS_PATH,
    Revocation,
    Revocations,
    encode_document,
    manifest_path,
)

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    scripts = group(root, "script", "Approved scripts.")
    script_authoring.register(scripts)
    _register_approving(scripts)
    _register_ending(scripts)
    _register_reading(scripts)


def _register_approving(scripts: click.Group) -> None:
    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1), help="The newest by default.")
    @click.option("--digest", help="Of what was read elsewhere; nothing else is signed.")
    @click.option("--yes", is_flag=True, help="Do not show the script and ask.")
    def approve(
        context: Context, script: str, version: int | None, digest: str | None, yes: bool
    ) -> None:
        """Read a script and sign it as an approver; publish it where that makes it whole."""
        trust = context.trust()
        envelope, manifest, body, state = find_script(context, script, version)
        if digest is not None and digest != manifest_digest(envelope):
            raise RefusedError("script-changed", "this is not the script that was read")
        rule = approval_rule(trust, manifest.risk)
        me = trust.roster.holder(context.signer().public_key)
        if manifest.author == context.settings.account or (me and me.name == manifest.author):
            raise RefusedError("own-script", "an author cannot approve their own script")
        if me is None or rule.permission not in me.permissions:
            raise RefusedError("not-approver", f"the roster does not give you {rule.permission!r}")
        if not yes and not sys.stdin.isatty():
            # Nobody is there to ask; whoever reads the log of it sees what was signed.
            say_whole(_for_reading(envelope, manifest, body))
        elif not yes:
            page_through(_for_reading(envelope, manifest, body))
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
        envelope, manifest, body, _ = find_script(context, script, version)
        targets = publish_script(
            context.relay, context.fresh_trust, context.signer(), envelope, body
        )
        answer = {"id": manifest.id, "version": manifest.version, "targets_version": targets}
        context.show(answer, lambda: show_fields(answer))


def _register_ending(scripts: click.Group) -> None:
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

        check_reason(reason)
        targets = publish(context.relay, context.fresh_trust, context.signer(), change)
        for one in sorted(removed | ({version} if version is not None else set())):
            _tell_revoked(context, script, one)
        answer = {"id": script, "revoked": subject, "targets_version": targets}
        context.show(answer, lambda: show_fields(answer))

    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1), help="All versions without it.")
    @click.option("--reason", help="Shown to whoever is about to run it.")
    @click.option("--successor", help="The script to use instead.")
    @click.option("--undo", is_flag=True, help="Take it back.")
    def deprecate(
        context: Context,
        script: str,
        version: int | None,
        reason: str | None,
        successor: str | None,
        undo: bool,
    ) -> None:
        """Warn of a script that still runs; what must not run is revoked."""
        if undo == (reason is not None):
            raise UsageError("usage", "give --reason, or --undo")
        known = context.trust().published()
        if not undo and not any(
            name == script and version in (None, number) for name, number in known
        ):
            raise FarhandError("script-unknown", f"{script[:100]} is not a published script")
        if reason is not None:
            check_reason(reason)
        targets = publish(
            context.relay,
            context.fresh_trust,
            context.signer(),
            lambda trust: (
                not_deprecated(trust, script, version)
                if reason is None
                else deprecated(trust, script, version, reason, successor)
            ),
        )
        answer = {
            "id": script,
            "version": version,
            "deprecated": not undo,
            "targets_version": targets,
        }
        context.show(answer, lambda: show_fields(answer))


def _for_reading(envelope: Envelope, manifest: Manifest, body: bytes) -> str:
    """Return everything that an approver signs for: digest, the whole manifest, then the body."""
    fields = msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
    text = body.decode(errors="backslashreplace")
    return f"digest {manifest_digest(envelope)}\n{fields}\n\n{text}"


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
        envelope, manifest, body, state = find_script(context, script, version)
        rule = approval_rule(trust, manifest.risk)
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
            "deprecated": _deprecated_words(trust, manifest),
            "revoked": _revoked_words(trust, envelope, manifest),
            "parameters": manifest.parameters,
            "manifest": msgspec.to_builtins(manifest),
            "body": body.decode(errors="replace"),
        }

        def readable() -> None:
            show_fields({k: v for k, v in answer.items() if k not in ("manifest", "body")})
            for words in str(answer["body"]).splitlines():
                line("  " + words, len(words) + 2)

        context.show(answer, readable)


def _deprecated_words(trust: VerifiedTrust, manifest: Manifest) -> str | None:
    found = trust.deprecations.find(manifest.id, manifest.version)
    return None if found is None else found.reason


def _revoked_words(trust: VerifiedTrust, envelope: Envelope, manifest: Manifest) -> str | None:
    subjects = (manifest.id, manifest_digest(envelope))
    found = [one for one in trust.revocations.revoked if one.kind == "script"]
    return next((one.reason for one in found if one.subject in subjects), None)


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
            is_old = trust.deprecations.find(script, version) is not None
            state = "deprecated" if is_old else "published"
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
