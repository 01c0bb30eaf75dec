"""`farhand-agent bundle`: one sealed file about this device.  Works with no relay and no network.

The person sees what is in it before anything is written: file by file, how large, how many secrets
were taken out, what was replaced, and who can open it.  She can read each file; only her yes (or
`--yes`) writes the bundle.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from farhand_agent.bundle.contents import PARTS, Contents, Wanted, collect
from farhand_agent.bundle.logs import DEFAULT_LOGS, find_logs
from farhand_agent.bundle.names import KINDS, NameCleaner, known_names
from farhand_agent.bundle.sealing import pack, read_recipients, signature_of, token_key
from farhand_agent.config import Home
from farhand_agent.home_option import chosen_home
from farhand_agent.inventory.registry import sections as known_sections
from farhand_agent.notices import say
from farhand_agent.terminal import printable, table
from farhand_agent.wording import own_wording
from farhand_protocol.errors import FarhandError, RefusedError, UsageError

__all__ = ["bundle", "clean_kinds"]

_SERIAL = "personal"


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def clean_kinds(text: str) -> tuple[frozenset[str], bool]:
    """Return which names are to be replaced, and whether personal values stay in the inventory.

    Raises:
        UsageError: `clean-unknown`.
    """
    wanted = set(_names(text))
    if "all" in wanted:
        return frozenset(KINDS), False
    for name in sorted(wanted - {*KINDS, _SERIAL}):
        raise UsageError(
            "clean-unknown",
            f"{printable(name, 40)} is nothing that can be cleaned",
            hint=f"choose of: {', '.join((*KINDS, _SERIAL))}, all",
        )
    return frozenset(wanted) & frozenset(KINDS), _SERIAL not in wanted


@click.command("bundle")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it.")
@click.option("--sections", help="Of the inventory, with commas between; `none` for none.")
@click.option(
    "--logs", default=",".join(DEFAULT_LOGS), show_default=True, help="Which; `none` for none."
)
@click.option(
    "--hours", type=click.IntRange(1, 24 * 366), default=48, show_default=True,
    help="How far back logs go.",
)  # fmt: skip
@click.option(
    "--clean", default="",
    help="Replace by tokens: hostname,domain,address,mac,user; leave out: personal; or all.",
)  # fmt: skip
@click.option(
    "--to", "named", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the keys that may open it; the organisation's audit keys by default.",
)  # fmt: skip
@click.option("--without", default="", help="Leave out: checks, patches, crashes.")
@click.option("--yes", is_flag=True, help="Write it without asking.")
@click.option("--home", metavar="DIR", callback=chosen_home, help="The agent's home.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def bundle(
    out: Path | None,
    sections: str | None,
    logs: str,
    hours: int,
    clean: str,
    named: Path | None,
    without: str,
    yes: bool,
    home: Home,
    as_json: bool,
) -> None:
    """Write what a technician needs to know about this device into one sealed file."""
    kinds, personal = clean_kinds(clean)
    wanted = Wanted(
        sections=_sections(sections),
        logs=tuple(find_logs([] if logs == "none" else _names(logs))),
        hours=hours,
        personal=personal,
        without=_without(without),
    )
    place = out or Path(f"farhand-{datetime.now(UTC):%Y%m%d-%H%M%S}.bundle")
    if place.exists():
        raise UsageError("file-exists", f"there is a file {place} already", hint="--out FILE")
    if not yes and not _is_somebody_there():
        raise RefusedError(
            "bundle-declined", "nobody is there to agree", hint="--yes writes it without asking"
        )
    keys = read_recipients(home, named)
    signature = signature_of(home)
    cleaner = NameCleaner(kinds, known_names(), token_key(signature))
    contents = collect(home, wanted, cleaner, progress=lambda what: say(f"collecting: {what}"))
    cleaned = [*sorted(kinds), *([] if personal else [_SERIAL])]
    sealed = pack(contents, signature, cleaned=cleaned, keys=keys)
    _show(contents, cleaned, keys, len(sealed), is_signed=signature.signer is not None)
    if not yes:
        _ask(contents)
    _write(place, sealed)
    answer = {
        "path": str(place),
        "sha256": hashlib.sha256(sealed).hexdigest(),
        "size_bytes": len(sealed),
        "device": signature.device or None,
        "cleaned": cleaned,
        "secrets_removed": contents.secrets_removed,
        "recipients": keys,
        "files": [
            {"name": one.name, "size_bytes": one.size_bytes, "sha256": one.sha256}
            for one in contents.entries()
        ],
        "omitted": contents.omitted,
    }
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(str(place))
        say(f"SHA-256 {answer['sha256']}")


def _is_somebody_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _without(text: str) -> frozenset[str]:
    names = _names(text)
    for name in names:
        if name not in PARTS:
            raise UsageError(
                "usage", f"{printable(name, 40)} cannot be left out; {', '.join(PARTS)} can"
            )
    return frozenset(names)


def _sections(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = [] if text == "none" else _names(text)
    known = known_sections()
    for name in names:
        if name not in known:
            raise UsageError(
                "section-unknown",
                f"there is no section {printable(name, 60)}",
                hint=f"known are: {', '.join(known)}",
            )
    return tuple(names)


def _show(
    contents: Contents, cleaned: list[str], keys: list[str], size_bytes: int, *, is_signed: bool
) -> None:
    w = own_wording()
    _tell(w("What this file would hold:"))
    rows = [(one.name, w.number(one.size_bytes), one.about) for one in contents.entries()]
    click.echo(table(("file", "bytes", "what it is"), rows), err=True)
    click.echo("", err=True)
    for sentence in contents.omitted:
        _tell(w("Not in it: {what}", what=printable(sentence, 300)))
    _tell(w("Secrets taken out: {number}", number=w.number(contents.secrets_removed)))
    if cleaned:
        _tell(w("Replaced by tokens: {kinds}", kinds=", ".join(cleaned)))
    else:
        _tell(w("No names are replaced by tokens."))
    _tell(
        w("This device signs it.")
        if is_signed
        else w("Not signed: this device was never enrolled.")
    )
    _tell(w("{size} bytes, sealed. Only these keys can open it:", size=w.number(size_bytes)))
    for key in keys:
        _tell(f"  {printable(key, 300)}")


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _ask(contents: Contents) -> None:
    """Return when the person agreed.

    Raises:
        RefusedError: `bundle-declined`.
    """
    w = own_wording()
    question = w("Write it? Type yes, or the name of a file to read it first; anything else is no")
    while True:
        answer = str(click.prompt(question, err=True, default="", show_default=False)).strip()
        if w.is_yes(answer):
            return
        if answer not in contents.files:
            raise RefusedError("bundle-declined", "nothing was written")
        lines = contents.files[answer].decode("utf-8", "replace").splitlines()
        click.echo_via_pager(printable(line, 4000) + "\n" for line in lines)


def _write(place: Path, sealed: bytes) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(place, flags, 0o600)
    except FileExistsError as error:
        raise UsageError("file-exists", f"there is a file {place} already") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        place.unlink(missing_ok=True)
        raise FarhandError(
            "file-unwritable", f"{place} cannot be written: {error.strerror}"
        ) from error
