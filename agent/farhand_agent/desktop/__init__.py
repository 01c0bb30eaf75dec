"""The person's own process at the desktop: the local page and the Stop bar."""
