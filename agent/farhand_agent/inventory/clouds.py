"""Providers of rented machines, by what the firmware says; the same on every platform."""

from __future__ import annotations

from typing import Final

__all__ = ["cloud_of"]

# What the firmware of rented machines says, by what it holds.
_CLOUDS: Final = (
    ("amazon ec2", "aws"), ("google", "gcp"), ("microsoft corporation virtual machine", "azure"),
    ("digitalocean", "digitalocean"), ("hetzner", "hetzner"), ("openstack", "openstack"),
    ("alibaba cloud", "alibaba"), ("oraclecloud", "oracle"), ("scaleway", "scaleway"),
    ("vultr", "vultr"), ("linode", "linode"), ("ovh", "ovh"),
)  # fmt: skip


def cloud_of(words: str) -> str | None:
    """Return the provider that the firmware's words name."""
    lowered = words.lower()
    return next((name for part, name in _CLOUDS if part in lowered), None)
