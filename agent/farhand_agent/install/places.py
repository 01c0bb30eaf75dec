"""Where an installed agent is, on each platform, below a root that is "/" but in tests and images.

    linux     program   /opt/farhand-agent/BUILD and `current`; /usr/local/bin/farhand-agent
              service   /etc/systemd/system/farhand-agent.service, its drop-in beside it
              home      /var/lib/farhand-agent
    macos     program   the same; service /Library/LaunchDaemons/org.farhand.agent.plist
              home      /Library/Application Support/Farhand Agent
    windows   program   C:\\Program Files\\Farhand Agent\\BUILD; home C:\\ProgramData\\Farhand Agent

The Debian package puts program and unit where Debian wants them; then only the drop-in is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DEFAULT_USER", "Places", "places_for"]

DEFAULT_USER: Final = "farhand-agent"


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths of an installed system; `under` turns one into where it is now.

    Attributes:
        root: the folder that stands for "/".
        program: folder of the builds.
        link: the command; None where there is none.
        service: the unit or property list; None where the system keeps it elsewhere.
        packaged_service: where a package of the system would have put it.
        drop_in: the file that grants privileges; None where there is no such thing.
        home: of the agent.
    """

    root: Path
    program: str
    link: str | None
    service: str | None
    packaged_service: str | None
    drop_in: str | None
    home: str

    def under(self, path: str) -> Path:
        """Return where an absolute path of the system lies now."""
        return self.root / path.lstrip("/")


def places_for(platform: str, root: Path) -> Places | None:
    """Return the places of a platform, None for one that is not known."""
    if platform == "linux":
        return Places(
            root=root,
            program="/opt/farhand-agent",
            link="/usr/local/bin/farhand-agent",
            service="/etc/systemd/system/farhand-agent.service",
            packaged_service="/lib/systemd/system/farhand-agent.service",
            drop_in="/etc/systemd/system/farhand-agent.service.d/privileges.conf",
            home="/var/lib/farhand-agent",
        )
    if platform == "macos":
        return Places(
            root=root,
            program="/opt/farhand-agent",
            link="/usr/local/bin/farhand-agent",
            service="/Library/LaunchDaemons/org.farhand.agent.plist",
            packaged_service=None,
            drop_in=None,
            home="/Library/Application Support/Farhand Agent",
        )
    if platform == "windows":
        return Places(
            root=root,
            program="C:\\Program Files\\Farhand Agent",
            link=None,
            service=None,
            packaged_service=None,
            drop_in=None,
            home="C:\\ProgramData\\Farhand Agent",
        )
    return None
