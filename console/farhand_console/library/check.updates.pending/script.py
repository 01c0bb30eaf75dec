"""Updates that wait: the agent's built-in check updates.pending."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("updates.pending"))
