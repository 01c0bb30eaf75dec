"""The built-in checks, in small groups, found by being here."""
