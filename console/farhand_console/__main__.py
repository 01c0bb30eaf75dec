"""Run the console: `python -m farhand_console`."""

from farhand_console.cli import main

main()
