"""web: the same work in a browser, served to this machine alone."""

from __future__ import annotations

import asyncio
import sys
import threading
import webbrowser
from collections.abc import Callable

import click

from farhand_console.cli.base import Context, command
from farhand_console.output import say, show_json
from farhand_console.relay.calls import connect_signed_in
from farhand_console.web.assets import is_built
from farhand_console.web.serving import parse_listen, serve

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the command."""

    @command(root)
    @click.option("--listen", default="127.0.0.1:0", show_default=True, help="HOST:PORT.")
    @click.option("--no-browser", is_flag=True, help="Print the link and open nothing.")
    def web(context: Context, listen: str, no_browser: bool) -> None:
        """Open the console in the browser; Enter prints a new link, Ctrl-C ends it."""
        host, port = parse_listen(listen)
        connect_signed_in(context.home)[1].close()

        def ready(link: Callable[[], str]) -> None:
            url = link()
            if context.as_json:
                show_json({"url": url})
            else:
                click.echo(url)
            if not is_built():
                say("farhand: hint: ui-not-built: the page is missing here; make ui builds it")
            if not no_browser:
                # A browser may take its time, and nothing here waits for it.
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            if sys.stdin is not None and sys.stdin.isatty():
                loop = asyncio.get_running_loop()

                def entered() -> None:
                    if sys.stdin.readline():
                        click.echo(link())
                    else:
                        loop.remove_reader(sys.stdin.fileno())

                loop.add_reader(sys.stdin.fileno(), entered)

        asyncio.run(serve(context.home, host, port, on_ready=ready))
