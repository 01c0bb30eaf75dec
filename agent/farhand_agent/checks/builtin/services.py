"""Check of background services."""

from __future__ import annotations

from farhand_agent.checks.registry import CheckContext, Finding, check, unsupported
from farhand_agent.inventory.collectors.linux.services import parse_units
from farhand_agent.inventory.context import Context

__all__ = ["services_failed"]


@check("services.failed", "Background services that failed", unit="count")
def services_failed(context: CheckContext) -> Finding:
    """Count systemd's failed services; other init systems do not remember failures."""
    if not context.files.path("/run/systemd/system").is_dir():
        return unsupported(
            "systemd does not run here",
            "This device does not keep a record of services that failed.",
        )
    argv = ["systemctl", "list-units", "--type=service", "--state=failed"]
    argv += ["--no-pager", "--output=json"]
    units = parse_units(Context.parse_json(context.run(argv).stdout, "systemctl"))
    names = [str(unit["name"]) for unit in units if unit["state"] == "failed"]
    if not names:
        return Finding(
            state="ok",
            summary="no failed services",
            plain="All background services are doing their work.",
            value=0,
        )
    return Finding(
        state="warning",
        summary=f"{len(names)} failed: {', '.join(names[:8])}",
        plain=f"{len(names)} background service(s) stopped with an error. "
        "Something that this device should do may not be happening.",
        value=len(names),
    )
