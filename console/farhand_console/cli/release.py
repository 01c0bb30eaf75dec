"""release add, approve, publish, list, floor: the agent's own versions, approved like R3.

What is approved here is only known to devices; it goes to them by orders and campaigns of the
shipped script `agent.update`, with rings, windows and limits like any other.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.output import hint, line, say, show_fields, show_table, warn
from farhand_console.relay.answers import Nothing
from farhand_console.trust.ceremonies import raised_floor
from farhand_console.trust.releases import (
    Draft,
    approvers_of,
    check_approved,
    counted_by_devices,
    delegated,
    draft_with,
    read_draft,
    signed_draft,
)
from farhand_console.trust.signing import Change, check_may_sign, publish
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import TRUST_CHUNK_BYTES
from farhand_protocol.releases import (
    AGENT_FLOOR,
    MAX_RELEASE_BYTES,
    is_platform,
    release_author,
    release_path,
    release_rule,
    split_release_path,
    version_number,
    version_text,
)

__all__ = ["register"]

_PIECE_BYTES = 4 * TRUST_CHUNK_BYTES
_LIBRARY = re.compile(r"\.cpython-3[0-9]{1,2}-([a-z0-9_]{1,20})-(linux)-(?:gnu|musl)\.so\Z")
_PYTHON = re.compile(r"tree/lib/python(3\.[0-9]{1,2})/site-packages/farhand_agent/version\.py\Z")
_VERSION = re.compile(rb'(?m)^VERSION(?:: Final)? = "([0-9.]{5,11})"')


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    releases = group(root, "release", "The agent's own versions.")
    _register_adding(releases)
    _register_reading(releases)


def _register_adding(releases: click.Group) -> None:
    @command(releases)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--version", required=True, help="Such as 0.2.0; the file must be that version.")
    @click.option("--platform", help="Such as linux-x86_64-py3.11; read from the file by default.")
    def add(context: Context, file: Path, version: str, platform: str | None) -> None:
        """Hand in a release, the single file of `make packages`, for others to approve."""
        version_number(version)
        data = _content(file)
        path = release_path(_platform(file, version, platform), version)
        trust, signer = context.fresh_trust(), context.signer()
        author = trust.roster.holder(signer.public_key)
        if author is None or author.name != context.settings.account:
            raise RefusedError("not-in-roster", "your key is not in the roster under your name")
        digest = hashlib.sha256(data).hexdigest()
        draft = draft_with(
            trust, path, sha256=digest, size=len(data), author=author.name, signer=signer
        )
        for offset in range(0, len(data), _PIECE_BYTES):
            piece = {
                "path": path,
                "sha256": digest,
                "offset": offset,
                "body": data[offset : offset + _PIECE_BYTES],
            }
            context.relay.post("/trust/releases/pieces", Nothing, piece, wait_s=60)
        sealed = {"metadata": signed_draft(draft, signer)}
        context.relay.post("/trust/releases/draft", Nothing, sealed, wait_s=60)
        answer = _draft_answer(trust, draft)

        def readable() -> None:
            show_fields(answer)
            hint(f"others compare it: farhand release approve {version} --sha256 {digest}")

        context.show(answer, readable)

    @command(releases)
    @click.argument("version")
    @click.option("--sha256", help="The file's SHA-256, as its author told you.")
    @click.option(
        "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Your own copy or build of the file; it must be the same.",
    )  # fmt: skip
    def approve(context: Context, version: str, sha256: str | None, file: Path | None) -> None:
        """Approve the release that waits; publishes it where that is enough and you may."""
        trust = context.fresh_trust()
        draft = _waiting(context, trust, version)
        _compare(draft, sha256, file)
        signer = context.signer()
        own = trust.roster.holder(signer.public_key)
        rule = release_rule(trust.policy)
        if own is None or rule.permission not in own.permissions:
            raise RefusedError("not-approver", f"approving a release needs {rule.permission}")
        if own.name == draft.author:
            raise RefusedError("own-release", "nobody approves a release of their own")
        sealed = {"metadata": signed_draft(draft, signer)}
        context.relay.post("/trust/releases/signatures", Nothing, sealed)
        published = False
        if len(approvers_of(trust, draft)) >= rule.count and _may_publish(context, trust):
            published = _publish(context, version)
        answer = _draft_answer(trust, draft) | {"published": published}
        context.show(answer, lambda: show_fields(answer))

    @command(releases, "publish")
    @click.argument("version")
    def publish_release(context: Context, version: str) -> None:
        """Put an approved release among the signed targets."""
        trust = context.fresh_trust()
        check_may_sign(trust, context.signer().public_key, "targets")
        draft = _waiting(context, trust, version)
        _publish(context, version)
        answer = _draft_answer(trust, draft) | {"published": True}
        context.show(answer, lambda: show_fields(answer))


def _register_reading(releases: click.Group) -> None:
    @command(releases, "list")
    def list_releases(context: Context) -> None:
        """List what is published, whom devices count for it, and what waits for approval."""
        trust = context.trust()
        role = trust.releases()
        items = []
        if role is not None:
            for path, info in sorted(role.signed.targets.items()):
                items.append(_published_item(trust, Draft(role, path, info)))
        try:
            draft = _waiting(context, trust, None)
            waiting = _draft_answer(trust, draft)
            items.append({**_item(draft.path, draft.info), "state": "draft", "expires": None})
            items[-1]["approved_by"] = waiting["approved_by"]
        except FarhandError as error:
            if error.code != "release-not-waiting":
                warn(str(error))
        answer = {"items": items, "next": None}

        def readable() -> None:
            columns = ("version", "platform", "state", "author", "approved_by", "expires", "sha256")
            show_table(columns, [[_cell(item[name]) for name in columns] for item in items])
            if not items:
                line("no release yet: farhand release add FILE --version V")

        context.show(answer, readable)

    @command(releases)
    @click.argument("version", required=False)
    def floor(context: Context, version: str | None) -> None:
        """Show or raise the lowest version that devices still take as an update."""
        if version is not None:
            number = version_number(version)
            publish(
                context.relay,
                context.fresh_trust,
                context.signer(),
                lambda verified: raised_floor(verified, AGENT_FLOOR, number),
            )
        verified = context.fresh_trust() if version is not None else context.trust()
        now = version_text(verified.floors.scripts.get(AGENT_FLOOR, 0))
        answer = {"floor": now, "targets_version": verified.targets_version}
        context.show(answer, lambda: show_fields(answer))


def _item(path: str, info: Any) -> dict[str, Any]:
    platform, version = split_release_path(path) or ("", "")
    return {
        "version": version,
        "platform": platform,
        "author": release_author(info.custom),
        "size_bytes": info.length,
        "sha256": info.hashes.get("sha256", ""),
    }


def _published_item(trust: VerifiedTrust, one: Draft) -> dict[str, Any]:
    """Return a published release, and whether devices still take it."""
    expires = one.metadata.signed.expires
    people, count = counted_by_devices(trust, one), release_rule(trust.policy).count
    state = "published" if len(people) >= count else "not-counted"
    if expires <= datetime.now(UTC):
        state = "expired"
    return _item(one.path, one.info) | {
        "state": state,
        "expires": format_instant(expires),
        "approved_by": people,
    }


def _cell(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value


def _draft_answer(trust: VerifiedTrust, draft: Draft) -> dict[str, Any]:
    return _item(draft.path, draft.info) | {
        "approved_by": approvers_of(trust, draft),
        "needed": release_rule(trust.policy).count,
    }


def _waiting(context: Context, trust: VerifiedTrust, version: str | None) -> Draft:
    """Return the draft, held to what is published; of this version where one is named."""
    try:
        body = context.relay.get_bytes("/trust/releases/draft")
    except FarhandError as error:
        if error.code != "not-found":
            raise
        raise FarhandError("release-not-waiting", "no release waits for approval") from error
    draft = read_draft(trust, body)
    if version is not None and (split_release_path(draft.path) or ("", ""))[1] != version:
        raise FarhandError("release-not-waiting", f"what waits for approval is {draft.path}")
    return draft


def _compare(draft: Draft, sha256: str | None, file: Path | None) -> None:
    """See that what is to be signed is what its approver has looked at."""
    if sha256 is None and file is None:
        if not sys.stdin.isatty():
            raise UsageError("usage", "give --sha256 or --file: what you approve is that file")
        say(f"{draft.path} by {draft.author}, {draft.info.length} bytes")
        click.confirm(f"is its SHA-256 {draft.sha256}?", abort=True, err=True)
    own = [sha256.strip().lower()] if sha256 is not None else []
    own += [hashlib.sha256(_content(file)).hexdigest()] if file is not None else []
    if any(one != draft.sha256 for one in own):
        raise RefusedError("release-differs", f"what waits has the SHA-256 {draft.sha256}")


def _may_publish(context: Context, trust: VerifiedTrust) -> bool:
    try:
        check_may_sign(trust, context.signer().public_key, "targets")
    except RefusedError:
        return False
    return True


def _publish(context: Context, version: str) -> bool:
    """Delegate to the people of now where that is not so, and have the relay take the role over."""
    trust = context.fresh_trust()
    draft = _waiting(context, trust, version)
    check_approved(trust, draft)
    if delegated(trust) is not None:
        publish(
            context.relay,
            context.fresh_trust,
            context.signer(),
            lambda verified: delegated(verified) or Change({}),
        )
    sealed = {"metadata": draft.to_bytes()}
    context.relay.post("/trust/releases", Nothing, sealed, wait_s=60)
    return True


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(MAX_RELEASE_BYTES + 1)
    if not 0 < len(data) <= MAX_RELEASE_BYTES:
        raise UsageError("release-malformed", f"{file} is empty or too large for a release")
    return data


def _platform(file: Path, version: str, given: str | None) -> str:
    """Return the platform that a release's file is for, and see that it is of this version."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            places = [name for name in names if _PYTHON.match(name)]
            body = archive.read(places[0])[:4096] if len(places) == 1 else b""
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UsageError(
            "release-malformed", f"{file} is no single file of `make packages`", detail=str(error)
        ) from error
    found = _VERSION.search(body)
    if found is None or found[1].decode() != version:
        told = found[1].decode() if found else "none"
        raise UsageError("release-malformed", f"{file} says that its version is {told}")
    python = _PYTHON.match(places[0])
    machines = {(one[2], one[1]) for name in names if (one := _LIBRARY.search(name))}
    if given is None and python is not None and len(machines) == 1:
        system, machine = machines.pop()
        given = f"{system}-{machine}-py{python[1]}"
    if given is None or not is_platform(given):
        raise UsageError(
            "release-malformed",
            "the file does not tell its platform" if given is None else "this is no platform",
            hint="--platform linux-x86_64-py3.11",
        )
    return given
