"""`farhand-agent desktop`: the local page of this computer's person, in her browser."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import webbrowser

import click

from farhand_agent.config import Home
from farhand_agent.door_option import door_of, person_home_option
from farhand_agent.notices import say
from farhand_protocol.errors import FarhandError

__all__ = ["desktop"]


@click.command("desktop", short_help="Open the page on which you get help and see what is done.")
@click.option("--no-browser", is_flag=True, help="Only print the address; it lets in once.")
@click.option("--no-bar", is_flag=True, help="Without the small window with STOP on it.")
@click.option("--leave-after", type=click.IntRange(min=1), hidden=True, metavar="SECONDS")
@person_home_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def desktop(
    no_browser: bool, no_bar: bool, leave_after: int | None, home: Home, as_json: bool
) -> None:
    """Serve the page on 127.0.0.1 and open it; Ctrl-C ends it.

    Where it runs already, it is opened once more. A session that was begun on the page ends with
    it; others go on.
    """
    try:
        # Late, because only here the page's library is needed.
        from farhand_agent.desktop.process import Desktop, way_in_there
    except ModuleNotFoundError as error:
        raise FarhandError(
            "desktop-not-installed",
            f"the page needs {error.name}, which is not installed",
            hint="install farhand-agent[desktop]; farhand-agent code works on a terminal",
        ) from error

    def ready(url: str) -> None:
        is_open = not no_browser and webbrowser.open(url)
        if as_json or not is_open:
            click.echo(json.dumps({"url": url}) if as_json else url)
            sys.stdout.flush()
        say("the page is open; Ctrl-C ends it")

    if (there := way_in_there(home)) is not None:
        ready(there)
        return
    if (door := door_of(home)) is not None:
        door.ask({"do": "sessions", "after": -1})  # whoever may not is told so here

    async def run() -> None:
        page = Desktop(home, door=door, has_bar=not no_bar, idle_s=leave_after)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, page.stop)
        await page.run(ready)

    asyncio.run(run())
