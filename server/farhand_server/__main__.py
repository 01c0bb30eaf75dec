"""Run the relay: `python -m farhand_server`."""

from farhand_server.cli import main

if __name__ == "__main__":
    main()
