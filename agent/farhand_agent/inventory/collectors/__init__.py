"""The collectors: one module per section, found by being here."""
