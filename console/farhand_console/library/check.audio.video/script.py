"""Sound and camera: the agent's built-in check audio.video."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("audio.video"))
