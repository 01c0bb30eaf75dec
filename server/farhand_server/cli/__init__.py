"""The command line `farhand-server`."""

from farhand_server.cli.main import main

__all__ = ["main"]
