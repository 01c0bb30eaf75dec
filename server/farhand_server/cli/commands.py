"""The commands of `farhand-server`; what they do stands in `home`, `serve`, `backup`, `doctor`.

`main` lists them and loads this module when one is called.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.backup import make_backup, restore_backup
from farhand_server.cli.main import Context, cli, run_async, shared_options
from farhand_server.cli.output import configure_logging, say, show_json
from farhand_server.clock import SystemClock
from farhand_server.config import load_settings
from farhand_server.desk.search_index import reindex as make_index_anew
from farhand_server.doctor import Finding, examine
from farhand_server.home import MadeHome, check_writable, lock_home, make_home, open_relay
from farhand_server.serve import serve
from farhand_server.store.database import Database
from farhand_server.trust.registrations import MadeToken, make_registrations

__all__: list[str] = []

_database = click.option(
    "--database", metavar="URL", help="postgresql+asyncpg://...; else SQLite in the home."
)
_bus = click.option("--bus", metavar="URL", help="nats://...; else within this process.")


@cli.command()
@shared_options
@click.option("--org", required=True, metavar="NAME", help="The organisation's name.")
@click.option(
    "--listen",
    default="127.0.0.1:8443",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the relay listens.",
)
@click.option("--url", metavar="URL", help="The address that devices and consoles dial.")
@click.option(
    "--admin", default="admin", show_default=True, metavar="NAME", help="The first admin's account."
)
@click.option("--tls-cert", metavar="FILE", help="Own certificate chain, PEM.")
@click.option("--tls-key", metavar="FILE", help="Its private key, PEM.")
@click.option("--proxied", is_flag=True, help="A reverse proxy on this host ends TLS.")
@_database
@_bus
@click.pass_obj
def init(
    context: Context, /, home: str | None, as_json: bool, org: str, admin: str, **options: Any
) -> None:
    """Make a relay's home and its first admin; prints a one-use sign-in token."""
    made: MadeHome = run_async(make_home(context.home(home), org=org, admin=admin, **options))
    if as_json or context.as_json:
        show_json(made)
        return
    say(f"made {context.home(home)} for {org}")
    say(f"start it: farhand-server run --home {context.home(home)}")
    say(f"then, as {admin}: farhand login {made.url} --token TOKEN, with this token (once):")
    click.echo(made.signin_token)


@cli.command()
@shared_options
@click.option("--listen", metavar="HOST:PORT", help="Another address for this run.")
@_database
@_bus
@click.option("--jump", metavar="HOST:PORT", help="Also listen for ssh -J here.")
@click.option(
    "--node-url",
    metavar="URL",
    help="Where consoles reach this very node, if several share the relay's address.",
)
@click.option(
    "--audit-heads",
    metavar="PLACES",
    help="Send audit heads to file:PATH, syslog:HOST:PORT, mail:ADDRESS@SMTP.",
)
@click.pass_obj
def run(context: Context, /, home: str | None, as_json: bool, **flags: Any) -> None:
    """Run the relay until SIGTERM."""
    settings = load_settings(context.home(home), flags)
    configure_logging(settings.log)

    def ready(url: str) -> None:
        if as_json or context.as_json:
            show_json({"url": url})
            sys.stdout.flush()
        say(f"ready {url}")

    with lock_home(settings):
        run_async(serve(settings, ready=ready))


@cli.command()
@shared_options
@_database
@click.option(
    "--group", default="default", show_default=True, metavar="G", help="The devices' group."
)
@click.option(
    "--uses", default=1, show_default=True, metavar="N", type=int, help="For how many devices."
)
@click.option(
    "--ttl", default=3600, show_default=True, metavar="SECONDS", type=int, help="How long it works."
)
@click.pass_obj
def token(
    context: Context,
    home: str | None,
    as_json: bool,
    database: str | None,
    group: str,
    uses: int,
    ttl: int,
) -> None:
    """Print an enrolment token signed by this host; its devices stay unconfirmed."""
    settings = load_settings(context.home(home), {"database": database})
    try:
        lifetime = timedelta(seconds=ttl)
    except OverflowError as error:
        raise UsageError("token-invalid", "the token would live too long") from error

    async def make() -> MadeToken:
        async with open_relay(settings) as relay:
            return await relay.service(make_registrations).make(
                group=group, uses=uses, ttl=lifetime, actor="cli"
            )

    made = run_async(make())
    if as_json or context.as_json:
        show_json(made)
    else:
        click.echo(made.token)


@cli.command()
@shared_options
@_database
@click.argument("name")
@click.pass_obj
def signin(
    context: Context, home: str | None, as_json: bool, database: str | None, name: str
) -> None:
    """Print a new one-use sign-in token for the account NAME; its unused ones end."""
    settings = load_settings(context.home(home), {"database": database})

    async def make() -> str:
        async with open_relay(settings) as relay, relay.db.write() as c:
            account = await relay.service(make_directory).new_signin(c, name, actor="cli")
            return await relay.service(make_tokens).issue_signin(c, account.id)

    text = run_async(make())
    if as_json or context.as_json:
        show_json({"name": name, "signin_token": text})
    else:
        click.echo(text)


@cli.command()
@shared_options
@_database
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(
    context: Context, home: str | None, as_json: bool, database: str | None, file: Path
) -> None:
    """Write keys, settings and database to FILE; the relay may be running."""
    settings = load_settings(context.home(home), {"database": database})
    manifest = run_async(make_backup(settings, file.absolute()))
    if as_json or context.as_json:
        show_json({"file": str(file), **msgspec.structs.asdict(manifest)})
    else:
        say(f"wrote {file}; it holds the relay's key, so keep it private")


@cli.command()
@shared_options
@_database
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def restore(
    context: Context, home: str | None, as_json: bool, database: str | None, file: Path
) -> None:
    """Make a home from a backup FILE, after checking all of it."""
    place = context.home(home)
    manifest = run_async(restore_backup(place, file.absolute(), database=database))
    if as_json or context.as_json:
        show_json({"home": str(place), **msgspec.structs.asdict(manifest)})
    else:
        say(f"restored {place} as of {manifest.made_at}")


@cli.command()
@shared_options
@_database
@click.pass_obj
def migrate(context: Context, home: str | None, as_json: bool, database: str | None) -> None:
    """Bring the database's schema to this version; `run` does it too."""
    settings = load_settings(context.home(home), {"database": database})

    check_writable(settings)

    async def work() -> tuple[str | None, str]:
        db = Database(settings.database_url)
        try:
            return await db.revision(), await db.migrate()
        finally:
            await db.close()

    before, after = run_async(work())
    if as_json or context.as_json:
        show_json({"from": before, "to": after})
    else:
        say(f"the schema is at {after}" + ("" if before == after else f", it was at {before}"))


@cli.command()
@shared_options
@_database
@click.pass_obj
def reindex(context: Context, home: str | None, as_json: bool, database: str | None) -> None:
    """Make anew what tickets are searched by; the relay may run meanwhile."""
    settings = load_settings(context.home(home), {"database": database})

    async def work() -> int:
        async with open_relay(settings) as relay:
            return await make_index_anew(relay)

    count = run_async(work())
    if as_json or context.as_json:
        show_json({"tickets": count})
    else:
        say(f"{count} tickets can be searched")


@cli.command()
@shared_options
@_database
@_bus
@click.pass_obj
def doctor(context: Context, /, home: str | None, as_json: bool, **flags: Any) -> None:
    """Check the home, the database, the clock, the disk, the certificate and the bus."""
    settings = load_settings(context.home(home), flags)
    findings: list[Finding] = run_async(examine(settings, now=SystemClock().now()))
    if as_json or context.as_json:
        show_json({"items": findings, "next": None})
    else:
        for one in findings:
            click.echo(f"{one.check:<12} {one.state:<8} {one.words}")
    failed = [one.check for one in findings if one.state == "failed"]
    if failed:
        raise FarhandError("doctor-failed", f"not well: {', '.join(failed)}")
