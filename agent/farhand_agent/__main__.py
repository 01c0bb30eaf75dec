"""`python -m farhand_agent` is `farhand-agent`."""

from farhand_agent.cli import main

if __name__ == "__main__":
    main()
