"""Section `management`: what else commands or inventories this device."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["parse"]

_SERVICES: Final = {
    "salt-minion": "Salt minion", "puppet": "Puppet agent", "chef-client": "Chef client",
    "glpi-agent": "GLPI agent", "fusioninventory-agent": "FusionInventory agent",
    "ocs inventory service": "OCS Inventory agent", "zabbix agent": "Zabbix agent",
    "zabbix agent 2": "Zabbix agent", "checkmkservice": "Checkmk agent", "osqueryd": "osquery",
    "wazuhsvc": "Wazuh agent", "ccmexec": "Configuration Manager",
    "intunemanagementextension": "Intune extension", "fleet osquery": "Fleet",
}  # fmt: skip
_PROVIDERS: Final = {"ms dm server": "Intune", "wmi_bridge_server": "Configuration Manager"}
_ENROLLED: Final = 1


@windows_section(
    "management", parts=("computer", "services", "enrollments", "joins"), personal=("server",)
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per manager of which there is a sign."""
    items = []
    computer = told.also_row("computer")
    if truth(computer.get("PartOfDomain")):
        items.append(_item("Active Directory", None, True, said(computer.get("Domain"))))
    for one in told.also("joins"):
        if tenant := said(one.get("TenantId")):
            items.append(_item("Entra ID", None, True, tenant))
    for one in told.also("enrollments"):
        provider = said(one.get("ProviderID"))
        # Every Windows has rows of its own in this list, without a provider.
        if provider is None:
            continue
        url = said(one.get("DiscoveryServiceFullURL"))
        name = _PROVIDERS.get(provider.lower(), provider)
        enrolled = whole(one.get("EnrollmentState")) == _ENROLLED
        items.append(_item(name, None, enrolled, without_credentials(url) if url else None))
    for one in told.rows("services"):
        known = _SERVICES.get((said(one.get("Name")) or "").lower())
        if known:
            items.append(_item(known, said(one.get("State")) == "Running", None, None))
    return items


def _item(
    name: str, running: bool | None, enrolled: bool | None, server: str | None
) -> dict[str, Any]:
    return {
        "name": name, "version": None, "running": running, "enrolled": enrolled, "server": server,
    }  # fmt: skip
