"""The HTTP API: one module per area, and what the areas share."""
