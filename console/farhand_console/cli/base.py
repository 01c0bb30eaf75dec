"""What every console command shares: `--home` and `--json` anywhere, errors as words and codes.

A command is a function decorated with `@command(group)`; it gets a `Context` first.  Nothing else
here knows any command.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from farhand_console.home import Home, Settings, default_home
from farhand_console.keys import load_signer
from farhand_console.output import printable, say, show_json
from farhand_console.relay import Relay, connect_signed_in
from farhand_console.trust.verified import VerifiedTrust, load_trust
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.keys import Signer

__all__ = ["Context", "command", "error_exit", "group", "paged", "parse_pairs", "shared"]

# What was typed cannot be meant, whether the console, the relay or the device noticed.  One that
# sounds alike is none of them: a broken receipt is a failed check.
_MALFORMED = frozenset(
    {
        "code-malformed",
        "cursor-malformed",
        "invalid",
        "key-malformed",
        "manifest-invalid",
        "note-malformed",
        "parameters-invalid",
        "query-invalid",
        "script-unreadable",
        "since-invalid",
        "time-malformed",
        "token-invalid",
        "token-malformed",
        "tool-malformed",
        "url-insecure",
        "url-malformed",
    }
)

P = ParamSpec("P")
R = TypeVar("R")


class Context:
    """What one invocation works with; everything is opened when first needed."""

    def __init__(self, home: Home, as_json: bool) -> None:
        self.home = home
        self.as_json = as_json
        # exec ends with 255 for its own failures, as ssh does.
        self.failure_status: int | None = None
        self._relay: Relay | None = None
        self._settings: Settings | None = None
        self._trust: VerifiedTrust | None = None
        self._signer: Signer | None = None

    @property
    def relay(self) -> Relay:
        """Return the signed-in relay connection."""
        if self._relay is None:
            self._settings, self._relay = connect_signed_in(self.home)
        return self._relay

    @property
    def settings(self) -> Settings:
        """Return this home's settings."""
        return self.home.settings()

    def trust(self, *, fresh: bool = False) -> VerifiedTrust:
        """Return the verified trust metadata, fetched once per command."""
        if self._trust is None or fresh:
            self._trust = load_trust(self.home, self.relay)
        return self._trust

    def signer(self) -> Signer:
        """Return the operator's key, asking for its passphrase at most once."""
        if self._signer is None:
            self._signer = load_signer(self.home.key_file())
        return self._signer

    def fresh_trust(self) -> VerifiedTrust:
        """Return the trust metadata, fetched again."""
        return self.trust(fresh=True)

    def show(self, value: Any, readable: Callable[[], None]) -> None:
        """Print `value` with --json, else call `readable`."""
        if self.as_json:
            show_json(value)
        else:
            readable()

    def close(self) -> None:
        """Close what was opened."""
        if self._relay is not None:
            self._relay.close()


def error_exit(error: FarhandError) -> int:
    """Write an error as words and return its exit code: 1 failed, 2 usage, 3 refused."""
    say(f"farhand: error: {printable(error.code, 80)}: {error.message}")
    if error.hint:
        say(f"farhand: hint: {error.hint}")
    return UsageError.exit_code if error.code in _MALFORMED else error.exit_code


@contextmanager
def _reported(context: Context) -> Iterator[None]:
    try:
        yield
        if not sys.stdout.closed:  # `proxy` hands stdout to the event loop, which closes it
            sys.stdout.flush()
    except FarhandError as error:
        sys.exit(_status(context, error))
    except KeyboardInterrupt:
        say("farhand: stopped")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing may be flushed there when we exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(context.failure_status or 1)
    except OSError as error:
        words = error.strerror or type(error).__name__
        name = f"{error.filename}: " if error.filename else ""
        sys.exit(_status(context, FarhandError("os-error", f"{name}{words}")))
    finally:
        context.close()


def _status(context: Context, error: FarhandError) -> int:
    status = error_exit(error)
    return status if context.failure_status is None else context.failure_status


def command(
    parent: click.Group, name: str | None = None, **attributes: Any
) -> Callable[[Callable[Concatenate[Context, P], R]], Callable[P, None]]:
    """Register a function as a command that takes `--home` and `--json`.

    The function's first argument is the Context.  Its errors become one line and an exit code.
    """

    def decorate(function: Callable[Concatenate[Context, P], R]) -> Callable[P, None]:
        @functools.wraps(function)
        def run(*args: Any, **options: Any) -> None:
            outer = _outer()
            folder = options.pop("home") or outer.get("home") or default_home()
            as_json = options.pop("as_json") or outer.get("as_json", False)
            context = Context(Home(Path(folder)), bool(as_json))
            with _reported(context):
                function(context, *args, **options)

        parent.command(name or function.__name__.replace("_", "-"), **attributes)(shared(run))
        return run

    return decorate


def shared(function: Callable[P, None]) -> Callable[P, None]:
    """Add `--home` and `--json`."""
    home = click.option("--home", type=click.Path(file_okay=False), help="The console's folder.")
    as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
    return home(as_json(function))


def _outer() -> dict[str, Any]:
    """Return what stands before the command, the nearest word winning."""
    found: dict[str, Any] = {}
    context = click.get_current_context().parent
    while context is not None:
        for name in ("home", "as_json"):
            found[name] = found.get(name) or context.params.get(name)
        context = context.parent
    return found


def group(parent: click.Group, name: str, words: str) -> click.Group:
    """Add a command group."""

    @parent.group(name, help=words)
    @shared
    def made(home: str | None, as_json: bool) -> None:
        """Nothing: what stands here is read by the command (`_outer`)."""

    return made


def paged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every list: `--limit` and `--cursor`."""
    function = click.option("--cursor", help="Go on where an earlier page ended.")(function)
    return click.option(
        "--limit", type=click.IntRange(1, 500), default=100, show_default=True, help="Page length."
    )(function)


def parse_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `k=v` options.

    Raises:
        UsageError: `parameter-malformed`.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError("parameter-malformed", f"{pair[:80]!r} is not NAME=VALUE")
        values[name] = value
    return values
