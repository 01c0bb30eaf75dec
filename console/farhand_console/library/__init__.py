"""The scripts that Farhand ships: one folder each, with manifest.toml and the body."""
