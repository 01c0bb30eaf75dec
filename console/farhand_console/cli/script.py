"""script new, lint, submit, approve, publish, revoke, list, show; and run."""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command, group, paged, parse_pairs
from farhand_console.orders import OrderDraft, parse_parameters, sign_order, verify_result
from farhand_console.output import hint, printable, say, show_fields, show_table
from farhand_console.scripts import (
    BODY_NAMES,
    fetch_script,
    lint,
    make_manifest,
    publish_script,
    read_folder,
)
from farhand_console.trust.devices import verify_device
from farhand_console.trust.signing import publish, tuf_key
from farhand_protocol.envelopes import encode_envelope, seal, sign_again
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import format_instant
from farhand_protocol.manifest import approvers, check_approved, manifest_digest
from farhand_protocol.orders import FINAL_STATES
from farhand_protocol.trust import (
    REVOCATIONS_PATH,
    Revocation,
    Revocations,
    encode_document,
    manifest_path,
)

__all__ = ["register", "wait_for_result"]

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
    _register_run(root)


def _register_authoring(scripts: click.Group) -> None:
    @command(scripts)
    @click.argument("folder", type=click.Path(path_type=Path))
    @click.option("--id", "script_id", help="Dotted name; the folder's name by default.")
    def new(context: Context, folder: Path, script_id: str | None) -> None:
        """Start a script: a folder with a manifest and a body."""
        if (folder / "manifest.toml").exists():
            raise FarhandError("script-exists", f"{folder} holds a script already")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.toml").write_text(_TEMPLATE.format(id=script_id or folder.name))
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
                click.echo(printable(problem))

        context.show(answer, readable)
        if problems:
            raise FarhandError("lint-failed", f"{len(problems)} problems in {folder}")

    @command(scripts)
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option("--days", type=click.IntRange(1, 730), default=365, help="Until it expires.")
    def submit(context: Context, folder: Path, days: int) -> None:
        """Sign a script as its author and hand it in for approval."""
        table, body = read_folder(folder)
        problems = lint(table, body)
        if problems:
            raise FarhandError("lint-failed", problems[0], hint=f"farhand script lint {folder}")
        settings = context.settings
        now = datetime.now(UTC).replace(microsecond=0)
        manifest = make_manifest(
            table,
            body,
            tenant=settings.tenant,
            author=settings.account,
            now=now,
            expires=now + timedelta(days=days),
        )
        envelope = seal(manifest, context.signer())
        context.relay.post("/scripts", {"envelope": encode_envelope(envelope), "body": body})
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
        envelope, manifest, body = fetch_script(context.relay, script, version)
        if not yes and sys.stdin.isatty():
            click.echo_via_pager(printable(body.decode(errors="replace"), 600_000))
            click.confirm(f"approve {manifest.id} {manifest.version}?", abort=True, err=True)
        trust = context.trust()
        if manifest.author == context.settings.account:
            raise RefusedError("own-script", "an author cannot approve their own script")
        rule = trust.policy.approvals[manifest.risk]
        me = trust.roster.holder(context.signer().public_key)
        if me is None or rule.permission not in me.permissions:
            raise RefusedError("not-approver", f"the roster does not give you {rule.permission!r}")
        envelope = sign_again(envelope, context.signer())
        context.relay.post(
            f"/scripts/{manifest.id}/{manifest.version}/approvals",
            {"envelope": encode_envelope(envelope)},
        )
        count = len(approvers(envelope, manifest, trust.roster, rule.permission))
        published = False
        keyid = tuf_key(context.signer().public_key).keyid
        if count >= rule.count and keyid in trust.root.signed.roles["targets"].keyids:
            publish_script(context.relay, trust, context.signer(), envelope, body)
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
        envelope, manifest, body = fetch_script(context.relay, script, version)
        targets = publish_script(context.relay, context.trust(), context.signer(), envelope, body)
        answer = {"id": manifest.id, "version": manifest.version, "targets_version": targets}
        context.show(answer, lambda: show_fields(answer))

    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1), help="All versions without it.")
    @click.option("--reason", required=True)
    def revoke(context: Context, script: str, version: int | None, reason: str) -> None:
        """Revoke a script for good, on every device."""
        trust = context.trust()
        subject = script
        if version is not None:
            subject = manifest_digest(trust.manifest(script, version))
        entry = Revocation(
            kind="script",
            subject=subject,
            reason=reason,
            at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        )
        document = Revocations(
            tenant=trust.revocations.tenant, revoked=[*trust.revocations.revoked, entry]
        )
        changes: dict[str, bytes | None] = {REVOCATIONS_PATH: encode_document(document)}
        for path in trust.paths():
            if path.startswith(f"manifests/{script}/") and (
                version is None or path == manifest_path(script, version)
            ):
                changes[path] = None
        targets = publish(context.relay, trust, context.signer(), changes)
        for path in changes:
            if path.startswith("manifests/"):
                number = path.rsplit("/", 1)[1].removesuffix(".json")
                context.relay.post(f"/scripts/{script}/{number}/revoked", {"reason": reason})
        answer = {"id": script, "revoked": subject, "targets_version": targets}
        context.show(answer, lambda: show_fields(answer))


def _register_reading(scripts: click.Group) -> None:
    @command(scripts, "list")
    @paged
    def list_scripts(context: Context, limit: int, cursor: str | None) -> None:
        """List published scripts (from the signed targets) and those handed in."""
        items: dict[tuple[str, int], dict[str, Any]] = {}
        page = context.relay.get("/scripts", limit=limit, cursor=cursor)
        for one in page["items"]:
            items[one["id"], one["version"]] = one
        if cursor is None:
            trust = context.trust()
            for path in trust.paths():
                if path.startswith("manifests/"):
                    script, number = path.removeprefix("manifests/").rsplit("/", 1)
                    envelope = trust.manifest(script, int(number.removesuffix(".json")))
                    manifest = check_approved(envelope, trust.roster, trust.policy)
                    items[manifest.id, manifest.version] = {
                        "id": manifest.id,
                        "version": manifest.version,
                        "risk": manifest.risk,
                        "state": "published",
                        "title": manifest.title,
                        "author": manifest.author,
                        "digest": manifest_digest(envelope),
                    }
        answer = {"items": [items[key] for key in sorted(items)], "next": page.get("next")}
        context.show(
            answer,
            lambda: show_table(
                ("id", "version", "risk", "state", "title"),
                [
                    (s["id"], s["version"], s["risk"], s["state"], s["title"])
                    for s in answer["items"]
                ],
            ),
        )

    @command(scripts)
    @click.argument("script")
    @click.option("--version", type=click.IntRange(1))
    def show(context: Context, script: str, version: int | None) -> None:
        """Show a script: its manifest, approvals and body."""
        trust = context.trust()
        try:
            envelope = trust.manifest(script, version)
            manifest = check_approved(envelope, trust.roster, trust.policy)
            body, state = trust.read(f"scripts/{manifest.sha256}"), "published"
        except FarhandError as error:
            if error.code != "script-unknown":
                raise
            envelope, manifest, body = fetch_script(context.relay, script, version)
            state = "submitted"
        rule = trust.policy.approvals[manifest.risk]
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
            for line in str(answer["body"]).splitlines():
                click.echo("  " + printable(line, 2000))

        context.show(answer, readable)


def _register_run(root: click.Group) -> None:
    @command(root)
    @click.argument("script")
    @click.option("--device", required=True, help="Id or unique name.")
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE, once per parameter.")
    @click.option("--ticket")
    @click.option("--version", type=click.IntRange(1))
    @click.option("--ttl", type=click.IntRange(10, 7 * 86_400), default=3600, help="Seconds.")
    @click.option("--wait", is_flag=True, help="Wait for the device's signed result.")
    def run(
        context: Context,
        script: str,
        device: str,
        pairs: tuple[str, ...],
        ticket: str | None,
        version: int | None,
        ttl: int,
        wait: bool,
    ) -> None:
        """Run an approved script on one device."""
        trust = context.trust()
        envelope = trust.manifest(script, version)
        manifest = check_approved(envelope, trust.roster, trust.policy)
        now = datetime.now(UTC).replace(microsecond=0)
        draft = OrderDraft(
            trust,
            envelope,
            parse_parameters(manifest, parse_pairs(pairs)),
            operator=context.settings.account,
            now=now,
        )
        verified = verify_device(context.home, trust, context.relay.get(f"/devices/{device}"))
        order, sealed = sign_order(
            draft, verified, context.signer(), now=now, ttl_s=ttl, ticket=ticket
        )
        made = context.relay.post("/orders", {"items": [{"envelope": sealed}]})
        if not wait:
            answer = {"order": order, "device": verified.id, "state": made["items"][0]["state"]}
            context.show(answer, lambda: show_fields(answer))
            return
        if not context.as_json:
            say(f"{manifest.id} on {printable(verified.name)}: waiting")
        result = wait_for_result(context, order, verified.id, verified.key, ttl_s=ttl)
        context.show(result, lambda: _show_result(result))
        if result["state"] == "refused":
            raise RefusedError(result["refusal"] or "refused", "the device refused the order")
        if result["state"] not in ("succeeded", "no_change"):
            raise FarhandError("run-failed", f"the order ended as {result['state']}")


def wait_for_result(
    context: Context, order: str, device: str, device_key: bytes, *, ttl_s: int
) -> dict[str, Any]:
    """Wait until an order is final and return its verified result as the command shows it."""
    deadline = datetime.now(UTC) + timedelta(seconds=ttl_s + 60)
    while datetime.now(UTC) < deadline:
        answer = context.relay.get(f"/orders/{order}", wait=20, wait_s=40)
        if answer["state"] not in FINAL_STATES:
            continue
        shown: dict[str, Any] = {
            "order": order,
            "device": device,
            "state": answer["state"],
            "exit_code": None,
            "stdout": "",
            "stderr": "",
            "refusal": answer.get("refusal"),
            "signed": False,
        }
        if answer.get("result"):
            sealed = base64.b64decode(answer["result"])
            result = verify_result(sealed, order=order, device=device, device_key=device_key)
            shown |= {
                "state": result.state,
                "exit_code": result.exit_code,
                "stdout": result.stdout.decode(errors="replace"),
                "stderr": result.stderr.decode(errors="replace"),
                "refusal": result.refusal,
                "signed": True,
            }
        elif answer["state"] not in ("cancelled", "expired", "gone"):
            raise FarhandError("result-forged", "the relay gave a result without a signature")
        return shown
    raise FarhandError("run-timeout", "the device did not answer in time", hint=f"order {order}")


def _show_result(result: dict[str, Any]) -> None:
    for name in ("stdout", "stderr"):
        for line in result[name].splitlines():
            click.echo(printable(line, 4000), err=name == "stderr")
    words = (
        result["state"]
        if result["exit_code"] is None
        else (f"{result['state']}, exit {result['exit_code']}")
    )
    say(words)
