"""The time zones of schedules: named ones from the tz database, and the device's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from farhand_protocol.errors import FarhandError

__all__ = ["DeviceZone", "zone_of"]


class DeviceZone(tzinfo):
    """The zone that the device is set to, whatever it is called there.

    Python asks the C library, which has no names but knows every change of the clock; so this works
    on systems without a tz database as well.
    """

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        """Return the offset at a local time; `fold` tells which of two (PEP 495)."""
        if at is None:
            return None
        naive = at.replace(tzinfo=None)
        return naive - datetime.fromtimestamp(naive.timestamp(), UTC).replace(tzinfo=None)

    def dst(self, at: datetime | None) -> timedelta | None:
        """Return None: nobody here asks which part of the offset is summer's."""
        return None

    def tzname(self, at: datetime | None) -> str | None:
        """Return what the zone is called here."""
        return "device"

    def fromutc(self, at: datetime) -> datetime:
        """Return a time in UTC as the device's."""
        local = datetime.fromtimestamp(at.replace(tzinfo=UTC).timestamp())
        return local.replace(tzinfo=self)


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name in the tz database, the device's own for "".

    Raises:
        FarhandError: `zone-unknown`.
    """
    if not name:
        return DeviceZone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise FarhandError(
            "zone-unknown",
            f"this device does not know the time zone {name[:60]!r}",
            hint="install the tz database (Debian: tzdata), or name no zone",
        ) from error
