"""The `farhand` command line, one file per command group."""

from farhand_console.cli.entry import main

__all__ = ["main"]
