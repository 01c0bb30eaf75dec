"""The agent's built-in check that the manifest's parameter `check` names."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main())
