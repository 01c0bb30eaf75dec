"""Mail servers answer: the agent's built-in check mail.client."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("mail.client"))
