"""The collectors for Linux: one module per section, found by being here."""
