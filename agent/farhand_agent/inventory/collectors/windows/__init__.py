"""The collectors for Windows: one module per section, found by being here."""
