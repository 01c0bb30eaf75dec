"""Orders and approved scripts: the check, the runner, and what the resident does about both."""
